"""What the face networks are called that can be published without bringing one; who only names them loads no torch."""

# SFace, and dlib's network: it costs a sixth of it, and tells people apart less well (docs/models/face.md)
FACE, FACE_SMALL = "face", "face-small"
FACE_NAMES = (FACE, FACE_SMALL)
FACE_CHIP = "arcface-112"  # how faces are cut for SFace
