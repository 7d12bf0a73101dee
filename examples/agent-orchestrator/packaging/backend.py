"""What pip and uv call to pack this project (PEP 517, PEP 660). Its own, so that nothing is fetched to build it."""

import base64
import hashlib
import io
import os
import tarfile
import zipfile

NAME, VERSION = "agentorchestrator", "0.1.0"
STEM = f"{NAME}-{VERSION}"
INFO = f"{STEM}.dist-info"
METADATA = f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {VERSION}\nProvides-Extra: dev\nProvides-Extra: test\n"
WHEEL = "Wheel-Version: 1.0\nGenerator: backend\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def sources(folder):
    for where, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        yield from (os.path.join(where, name) for name in sorted(files))


def pack(directory, files):
    name, record = f"{STEM}-py3-none-any.whl", []
    with zipfile.ZipFile(os.path.join(directory, name), "w") as wheel:
        for path, data in files + [(f"{INFO}/METADATA", METADATA.encode()), (f"{INFO}/WHEEL", WHEEL.encode())]:
            # The same date for every file: the same sources make the same bytes.
            wheel.writestr(zipfile.ZipInfo(path), data)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            record.append(f"{path},sha256={digest},{len(data)}\n")
        wheel.writestr(zipfile.ZipInfo(f"{INFO}/RECORD"), "".join(record) + f"{INFO}/RECORD,,\n")
    return name


def build_wheel(directory, config_settings=None, metadata_directory=None):
    return pack(directory, [(path, open(path, "rb").read()) for path in sources(NAME)])


def build_editable(directory, config_settings=None, metadata_directory=None):
    return pack(directory, [(f"{NAME}.pth", os.getcwd().encode())])


def build_sdist(directory, config_settings=None):
    name = f"{STEM}.tar.gz"
    with tarfile.open(os.path.join(directory, name), "w:gz") as archive:
        files = [(path, open(path, "rb").read()) for path in ["pyproject.toml", *sources("packaging"), *sources(NAME)]]
        for path, data in files + [("PKG-INFO", METADATA.encode())]:
            entry = tarfile.TarInfo(f"{STEM}/{path}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return name
