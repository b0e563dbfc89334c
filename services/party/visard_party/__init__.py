"""A party: holds shares, runs MPC with its two peers, and never sees a face."""
