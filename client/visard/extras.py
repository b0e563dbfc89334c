"""What a command needs beyond visard alone is in an extra: which one, by the module that was not found."""

_EXTRAS = {
    "face_recognition_models": "owner",
    "h11": "registrar",
    "matplotlib": "owner",
    "onnx": "owner",
    "pillow_heif": "heic",
    "rich": "cli",
    "safetensors": "owner",
    "segno": "cli",
    "structlog": "registrar",
    "torch": "owner",
    "typer": "cli",
    "visard_dealer": "local",
    "visard_engine": "owner",
    "visard_gateway": "local",
    "visard_party": "local",
}


def advice(module: str | None) -> str:
    """In a line, what to install so that a module is found; empty where no extra of visard has it."""
    extra = _EXTRAS.get((module or "").partition(".")[0])
    return f"this needs {module}, which is not installed: pip install 'visard[{extra}]'" if extra else ""
