"""The weight files that Visage knows: what they are, what they may be used for, where they come from.

Sizes and sha256 are those of the publishers' files, as recorded by the projects that pin them. Where nobody records a
hash it is ``None``, and the download of that file has to be asked for as unverified. Licences are those stated by the
publishers; where two claims meet, both are told.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

from . import builtin
from .file_format import ONNX, PICKLES, SAFETENSORS

Kind = Literal["detector", "restorer", "parser", "embedder", "upscaler"]
Commercial = Literal["yes", "no", "unclear"]

KINDS: tuple[Kind, ...] = ("detector", "restorer", "parser", "embedder", "upscaler")


@dataclass(frozen=True, slots=True)
class Licence:
    """Terms of a weight file: the short name, a sentence on what it means, and whether commercial use is allowed."""

    name: str
    note: str
    commercial: Commercial


@dataclass(frozen=True, slots=True)
class KnownWeights:
    """One published weight file.

    Attributes:
        name: what the command line calls it.
        file_name: the publisher's file name, which is also the name on disk.
        kind: what it is used as.
        architecture: the network.
        licence: terms of the weights, not of the code that runs them.
        urls: where it is published, best first; none for what comes with Visage. Hub addresses come first because
            ComfyUI's dialog for missing models accepts those alone.
        folder: sub-folder of ComfyUI's ``models`` where other packs look for it.
        size: bytes, or ``None`` where not recorded.
        sha256: lower-case hexadecimal, or ``None`` where not recorded.
        aliases: other file names under which the same file goes around.
    """

    name: str
    file_name: str
    kind: Kind
    architecture: str
    licence: Licence
    urls: tuple[str, ...]
    folder: str
    size: int | None = None
    sha256: str | None = None
    aliases: tuple[str, ...] = ()

    @property
    def file_names(self) -> tuple[str, ...]:
        return self.file_name, *self.aliases


_BUILT_IN_TERMS = Licence(
    "GPL-3.0-or-later",
    "Comes with Visage, under its terms. Learned from generated faces, of which a part comes without stated terms and "
    "a part from a generator that learned from FFHQ; models/cards tells more.",
    "yes",
)
_FFHQ = "Trained on FFHQ, photographs under CC BY-NC-SA 4.0."
_GFPGAN_TERMS = Licence(
    "Apache-2.0 with third-party non-commercial parts",
    f"The licence file excepts parts from StyleGAN2 (NVIDIA, non-commercial) and DFDNet (CC BY-NC-SA 4.0). {_FFHQ}",
    "unclear",
)
_CODEFORMER_TERMS = Licence("S-Lab 1.0, non-commercial", _FFHQ, "no")
_ELIR_TERMS = Licence("Apache-2.0", _FFHQ, "yes")
_RESTOREFORMER_TERMS = Licence("Apache-2.0", _FFHQ, "yes")
_GPEN_TERMS = Licence(
    "not stated, non-commercial",
    f"There is no licence file; the authors' page once allowed academic and non-commercial use only. {_FFHQ}",
    "no",
)
_VQFR_TERMS = Licence("Apache-2.0", _FFHQ, "yes")
_FACEXLIB_TERMS = Licence("MIT", "The terms of the photographs it was trained on are not stated.", "yes")
_ARCFACE_TERMS = Licence(
    "MIT",
    "Trained on MS-Celeb-1M, which was given out for research alone and has been withdrawn.",
    "unclear",
)
_MOBILEFACENET_TERMS = Licence(
    "MIT", "Of the repository it is in; the terms of the photographs it was trained on are not stated.", "unclear"
)
_REAL_ESRGAN_TERMS = Licence("BSD-3-Clause", "Keep the copyright notice when passing it on.", "yes")
_MTCNN_TERMS = Licence(
    "MIT", "Of facenet-pytorch; the terms of the photographs that the networks were trained on are not stated.", "yes"
)
_YUNET_TERMS = Licence("MIT", "From the OpenCV model zoo.", "yes")
_ADETAILER_TERMS = Licence(
    "AGPL-3.0 (ultralytics claims trained models)",
    "The model card says Apache-2.0; ultralytics holds that models trained with its code are under AGPL-3.0.",
    "unclear",
)
_LINDEVS_TERMS = Licence(
    "AGPL-3.0 (ultralytics claims trained models)",
    "The publisher's repository says MIT; ultralytics holds that models trained with its code are under AGPL-3.0.",
    "unclear",
)

_GFPGAN = "https://github.com/TencentARC/GFPGAN/releases/download"
_CODEFORMER = "https://github.com/sczhou/CodeFormer/releases/download/v0.1.0"
_RESTOREFORMER = "https://github.com/wzhouxiff/RestoreFormerPlusPlus/releases/download/v1.0.0"
_VQFR = "https://github.com/TencentARC/VQFR/releases/download/v2.0.0"
_GPEN = "https://public-vigen-video.oss-cn-shanghai.aliyuncs.com/robin/models"
_FACEXLIB = "https://github.com/xinntao/facexlib/releases/download"
_REAL_ESRGAN = "https://github.com/xinntao/Real-ESRGAN/releases/download"
_REACTOR = "https://huggingface.co/datasets/Gourieff/ReActor/resolve/main/models/facerestore_models"
_ADETAILER = "https://huggingface.co/Bingsu/adetailer/resolve/main"
_MTCNN = "https://github.com/timesler/facenet-pytorch/raw/787da06156087cd6b616fe6608213722bddc30cd/data"
_LINDEVS = "https://github.com/lindevs/yolov8-face/releases/download/1.0.1"


def _built_in(name: str, kind: Kind, size: int, sha256: str) -> KnownWeights:
    return KnownWeights(
        name=name,
        file_name=f"{name}.safetensors",
        kind=kind,
        architecture="Visage, built-in (small)",
        licence=_BUILT_IN_TERMS,
        urls=(),
        folder="",
        size=size,
        sha256=sha256,
    )


def _gpen(name: str, file_name: str, architecture: str) -> KnownWeights:
    return KnownWeights(
        name=name,
        file_name=file_name,
        kind="restorer",
        architecture=architecture,
        licence=_GPEN_TERMS,
        urls=(f"{_GPEN}/{file_name}",),
        folder="facerestore_models",
    )


def _adetailer(file_name: str, sha256: str, size: int | None = None) -> KnownWeights:
    name = file_name.removesuffix(".pt")
    segments = name.endswith("-seg")
    return KnownWeights(
        name=name.replace("_", "-"),
        file_name=file_name,
        kind="detector",
        architecture="YOLOv8 segmentation" if segments else "YOLOv8 detection",
        licence=_ADETAILER_TERMS,
        urls=(f"{_ADETAILER}/{file_name}",),
        folder="ultralytics/segm" if segments else "ultralytics/bbox",
        size=size,
        sha256=sha256,
    )


def _mtcnn(part: str, sha256: str, size: int) -> KnownWeights:
    return KnownWeights(
        name=f"mtcnn-{part}",
        file_name=f"{part}.pt",
        kind="detector",
        architecture="MTCNN, one network of three",
        licence=_MTCNN_TERMS,
        urls=(f"{_MTCNN}/{part}.pt",),
        folder="facedetection",
        size=size,
        sha256=sha256,
    )


def _lindevs(letter: str, sha256: str) -> KnownWeights:
    name = f"yolov8{letter}-face-lindevs"
    return KnownWeights(
        name=name,
        file_name=f"{name}.pt",
        kind="detector",
        architecture="YOLOv8 detection",
        licence=_LINDEVS_TERMS,
        urls=(f"{_LINDEVS}/{name}.pt",),
        folder="ultralytics/bbox",
        sha256=sha256,
    )


CATALOGUE: tuple[KnownWeights, ...] = (
    _built_in(
        builtin.DETECTOR,
        "detector",
        size=2917404,
        sha256="9a185210bafcfaa4f58c9530b7874970515909e995eb84fba193e1b0ceab9a1e",
    ),
    _built_in(
        builtin.RESTORER,
        "restorer",
        size=6028486,
        sha256="c2bb500abfa0a034e11127d225dba4c736ad835950f837786f141e680ca4beef",
    ),
    KnownWeights(
        name="gfpgan-1.4",
        file_name="GFPGANv1.4.pth",
        kind="restorer",
        architecture="GFPGAN",
        licence=_GFPGAN_TERMS,
        urls=(f"{_REACTOR}/GFPGANv1.4.pth", f"{_GFPGAN}/v1.3.0/GFPGANv1.4.pth"),
        folder="facerestore_models",
        size=348632874,
        sha256="e2cd4703ab14f4d01fd1383a8a8b266f9a5833dacee8e6a79d3bf21a1b6be5ad",
    ),
    KnownWeights(
        name="gfpgan-1.3",
        file_name="GFPGANv1.3.pth",
        kind="restorer",
        architecture="GFPGAN",
        licence=_GFPGAN_TERMS,
        urls=(f"{_REACTOR}/GFPGANv1.3.pth", f"{_GFPGAN}/v1.3.0/GFPGANv1.3.pth"),
        folder="facerestore_models",
        size=348632874,
        sha256="c953a88f2727c85c3d9ae72e2bd4846bbaf59fe6972ad94130e23e7017524a70",
    ),
    KnownWeights(
        name="gfpgan-1.2",
        file_name="GFPGANCleanv1-NoCE-C2.pth",
        kind="restorer",
        architecture="GFPGAN",
        licence=_GFPGAN_TERMS,
        urls=(f"{_GFPGAN}/v0.2.0/GFPGANCleanv1-NoCE-C2.pth",),
        folder="facerestore_models",
        sha256="29e25ee90c170f4231163f4c83df6b59c968b73f3ce00cb884015ae005db083c",
    ),
    KnownWeights(
        name="codeformer",
        file_name="codeformer-v0.1.0.pth",
        kind="restorer",
        architecture="CodeFormer",
        licence=_CODEFORMER_TERMS,
        urls=(
            f"{_REACTOR}/codeformer-v0.1.0.pth",
            f"{_CODEFORMER}/codeformer.pth",
        ),
        folder="facerestore_models",
        size=376637898,
        sha256="1009e537e0c2a07d4cabce6355f53cb66767cd4b4297ec7a4a64ca4b8a5684b7",
        aliases=("codeformer.pth",),
    ),
    KnownWeights(
        name="codeformer-inpainting",
        file_name="codeformer_inpainting.pth",
        kind="restorer",
        architecture="CodeFormer inpainting",
        licence=_CODEFORMER_TERMS,
        urls=(f"{_CODEFORMER}/codeformer_inpainting.pth",),
        folder="facerestore_models",
        size=370786611,
        sha256="b0d1b868c3dacf75d637bbcc0d4b3dd4ce2a064a338dfb4d35c740d3b4ae8797",
    ),
    KnownWeights(
        name="codeformer-colorization",
        file_name="codeformer_colorization.pth",
        kind="restorer",
        architecture="CodeFormer colorization",
        licence=_CODEFORMER_TERMS,
        urls=(f"{_CODEFORMER}/codeformer_colorization.pth",),
        folder="facerestore_models",
    ),
    KnownWeights(
        name="elir",
        file_name="elir_bfr.pth",
        kind="restorer",
        architecture="ELIR",
        licence=_ELIR_TERMS,
        urls=("https://github.com/eladc-git/ELIR/releases/download/v1.0/elir_bfr.pth",),
        folder="facerestore_models",
    ),
    KnownWeights(
        name="restoreformer",
        file_name="RestoreFormer.pth",
        kind="restorer",
        architecture="RestoreFormer",
        licence=_RESTOREFORMER_TERMS,
        urls=(f"{_GFPGAN}/v1.3.4/RestoreFormer.pth",),
        folder="facerestore_models",
        size=290785322,
        sha256="07404d446d62ca3d5ed38b1de09a947a1e77d46dbccec961a74d713a8f24ace0",
    ),
    KnownWeights(
        name="restoreformer-plus-plus",
        file_name="RestoreFormer++.ckpt",
        kind="restorer",
        architecture="RestoreFormer++",
        licence=_RESTOREFORMER_TERMS,
        urls=(f"{_RESTOREFORMER}/RestoreFormer++.ckpt",),
        folder="facerestore_models",
        size=294028815,
    ),
    KnownWeights(
        name="vqfr-2",
        file_name="VQFR_v2.pth",
        kind="restorer",
        architecture="VQFR v2",
        licence=_VQFR_TERMS,
        urls=(f"{_VQFR}/VQFR_v2.pth",),
        folder="facerestore_models",
    ),
    _gpen("gpen-512", "GPEN-BFR-512.pth", "GPEN 512"),
    _gpen("gpen-256", "GPEN-BFR-256.pth", "GPEN 256"),
    _gpen("gpen-colorization", "GPEN-Colorization-1024.pth", "GPEN 1024 colorization"),
    _gpen("gpen-inpainting", "GPEN-Inpainting-1024.pth", "GPEN 1024 inpainting"),
    KnownWeights(
        name="retinaface-resnet50",
        file_name="detection_Resnet50_Final.pth",
        kind="detector",
        architecture="RetinaFace resnet50",
        licence=_FACEXLIB_TERMS,
        urls=(f"{_FACEXLIB}/v0.1.0/detection_Resnet50_Final.pth",),
        folder="facedetection",
        size=109497761,
        sha256="6d1de9c2944f2ccddca5f5e010ea5ae64a39845a86311af6fdf30841b0a5a16d",
    ),
    KnownWeights(
        name="retinaface-mobilenet",
        file_name="detection_mobilenet0.25_Final.pth",
        kind="detector",
        architecture="RetinaFace mobilenet0.25",
        licence=_FACEXLIB_TERMS,
        urls=(f"{_FACEXLIB}/v0.1.0/detection_mobilenet0.25_Final.pth",),
        folder="facedetection",
        size=1789735,
        sha256="2979b33ffafda5d74b6948cd7a5b9a7a62f62b949cef24e95fd15d2883a65220",
    ),
    KnownWeights(
        name="yunet",
        file_name="face_detection_yunet_2023mar.onnx",
        kind="detector",
        architecture="YuNet",
        licence=_YUNET_TERMS,
        urls=("https://huggingface.co/opencv/face_detection_yunet/resolve/main/face_detection_yunet_2023mar.onnx",),
        folder="facedetection",
        size=232589,
        sha256="8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
    ),
    _mtcnn("pnet", "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f", 28570),
    _mtcnn("rnet", "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86", 403147),
    _mtcnn("onet", "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d", 1559269),
    _adetailer("face_yolov8n.pt", "70b640f8f60b1cf0dcc72f30caf3da9495eb2fb6509da48c53374ad6806e6a9c", 6230011),
    _adetailer("face_yolov8s.pt", "c7237eff25787377de196961140ceaed324d859ee8de5a775d93d33a0e3fab78", 22507707),
    _adetailer("face_yolov8m.pt", "e3893a92c5c1907136b6cc75404094db767c1e0cfefe1b43e87dad72af2e4c9f"),
    _adetailer("hand_yolov8n.pt", "3991202eb69e9ddcb3b9ba80cdeb41e734ffaf844403d6c9f47d515cd88c6f29", 6237883),
    _adetailer("hand_yolov8s.pt", "30878cea9870964d4a238339e9dcff002078bbbaa1a058b07e11c167f67eca1c"),
    _adetailer("person_yolov8n-seg.pt", "38fc8aaae97cb6e70be4ec44770005b26ed473471362afcda62a0037d7ccf432", 6777003),
    _adetailer("person_yolov8s-seg.pt", "53c54aec2239355faffc6c5b70d0f3d05042f386f956cbec39cec46ad456f050", 23850731),
    _lindevs("n", "b038ca653b503453a94f6e12d76feca6840b2a97d7a1322b4498c5e922f29832"),
    _lindevs("s", "fa7e47fe9378255e4b52cb7abc4e387c0353dd26b0b8e6834045dc9dfbaaf69f"),
    _lindevs("m", "303dcd997fb6ed446d1626b2bbd36f146894cdf600e33c4d563124f8c1b191c4"),
    _lindevs("l", "29cc43b27c8b865859c66489a4399a10a3efd80ce68ded9815364117641706d5"),
    _lindevs("x", "117c587c79e75e68a83e70200549bf6c035fa45b30e02fb41699639aadcfa0e6"),
    KnownWeights(
        name="bisenet",
        file_name="parsing_bisenet.pth",
        kind="parser",
        architecture="BiSeNet",
        licence=_FACEXLIB_TERMS,
        urls=(
            "https://huggingface.co/leonelhs/facexlib/resolve/main/parsing_bisenet.pth",
            f"{_FACEXLIB}/v0.2.0/parsing_bisenet.pth",
        ),
        folder="facedetection",
        size=53289463,
        sha256="468e13ca13a9b43cc0881a9f99083a430e9c0a38abd935431d1c28ee94b26567",
    ),
    KnownWeights(
        name="parsenet",
        file_name="parsing_parsenet.pth",
        kind="parser",
        architecture="ParseNet",
        licence=_FACEXLIB_TERMS,
        urls=(
            "https://huggingface.co/gmk123/GFPGAN/resolve/main/parsing_parsenet.pth",
            f"{_FACEXLIB}/v0.2.2/parsing_parsenet.pth",
        ),
        folder="facedetection",
        size=85331193,
        sha256="3d558d8d0e42c20224f13cf5a29c79eba2d59913419f945545d8cf7b72920de2",
    ),
    KnownWeights(
        name="arcface-ir-se50",
        file_name="recognition_arcface_ir_se50.pth",
        kind="embedder",
        architecture="ArcFace IR-SE-50",
        licence=_ARCFACE_TERMS,
        urls=(f"{_FACEXLIB}/v0.1.0/recognition_arcface_ir_se50.pth",),
        folder="facedetection",
        size=175367323,
        sha256="a035c768259b98ab1ce0e646312f48b9e1e218197a0f80ac6765e88f8b6ddf28",
        aliases=("model_ir_se50.pth",),
    ),
    KnownWeights(
        name="mobilefacenet",
        file_name="MobileFaceNet.onnx",
        kind="embedder",
        architecture="MobileFaceNet",
        licence=_MOBILEFACENET_TERMS,
        urls=(
            "https://github.com/luisabreu99/Facegate/raw/b62011e375ae84bd1987d3fba7b98c87a93a8fd6/models/"
            "MobileFaceNet.onnx",
        ),
        folder="facedetection",
        size=3985710,
        sha256="8cba0c9041fefd5a8bcc74b5756856a4fdc7fd4a4b3b330a1adb436ca39c7c8e",
    ),
    KnownWeights(
        name="realesrgan-x2plus",
        file_name="RealESRGAN_x2plus.pth",
        kind="upscaler",
        architecture="RRDBNet x2",
        licence=_REAL_ESRGAN_TERMS,
        urls=(f"{_REAL_ESRGAN}/v0.2.1/RealESRGAN_x2plus.pth",),
        folder="upscale_models",
        size=67061725,
        sha256="49fafd45f8fd7aa8d31ab2a22d14d91b536c34494a5cfe31eb5d89c2fa266abb",
    ),
    KnownWeights(
        name="realesrgan-x4plus",
        file_name="RealESRGAN_x4plus.pth",
        kind="upscaler",
        architecture="RRDBNet x4",
        licence=_REAL_ESRGAN_TERMS,
        urls=(f"{_REAL_ESRGAN}/v0.1.0/RealESRGAN_x4plus.pth",),
        folder="upscale_models",
        size=67040989,
        sha256="4fa0d38905f75ac06eb49a7951b426670021be3018265fd191d2125df9d682f1",
    ),
    KnownWeights(
        name="realesr-general-x4v3",
        file_name="realesr-general-x4v3.pth",
        kind="upscaler",
        architecture="SRVGGNetCompact x4",
        licence=_REAL_ESRGAN_TERMS,
        urls=(f"{_REAL_ESRGAN}/v0.2.5.0/realesr-general-x4v3.pth",),
        folder="upscale_models",
        size=4885111,
        sha256="8dc7edb9ac80ccdc30c3a5dca6616509367f05fbc184ad95b731f05bece96292",
    ),
)


def of_kind(kind: Kind) -> Iterator[KnownWeights]:
    return (known for known in CATALOGUE if known.kind == kind)


def by_name(name: str) -> KnownWeights | None:
    """The entry called ``name`` on the command line, in any case."""
    return next((known for known in CATALOGUE if known.name == name.lower()), None)


def by_file_name(file_name: str) -> KnownWeights | None:
    """The entry whose file goes by that name, in any case, in any folder, and converted to safetensors or not."""
    wanted = PurePath(file_name.replace("\\", "/"))
    if wanted.suffix.lower() not in (*PICKLES, *ONNX, *SAFETENSORS):
        return None
    stem = wanted.stem.lower()
    return next(
        (known for known in CATALOGUE if any(PurePath(name).stem.lower() == stem for name in known.file_names)), None
    )


def by_sha256(sha256: str) -> KnownWeights | None:
    """The entry with exactly these bytes."""
    return next((known for known in CATALOGUE if known.sha256 == sha256.lower()), None)


def licence_line(file_name: str) -> str:
    """One line on the terms of a file, by its name: for tooltips, help pages and lists."""
    known = by_file_name(file_name)
    if known is None:
        return "Licence not known to Visage: see the page it came from."
    use = {"yes": "commercial use allowed", "no": "no commercial use", "unclear": "commercial use unclear"}
    return f"{known.licence.name}; {use[known.licence.commercial]}. {known.licence.note}"
