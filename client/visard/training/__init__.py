"""Training the thesis' networks; an owner's matter, so torch may be imported here."""
