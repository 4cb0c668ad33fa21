"""Where the public sets come from, which of them are present, and how to get the others."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep import cxr, montgomery, pediatric, rsna, shenzhen
from data_prep.download import download, unpack


@dataclass(frozen=True)
class Source:
    """A public set and where to get it.

    Attributes:
        about: Its name, source and licence.
        names: Names that its folder may have.
        holds: Tells whether a folder holds it.
        page: Its page on the web.
        archive: A zip file that needs no account.
        command: How to get a set that needs one, with {folder} for where to put it.
        size: Bytes of the archive, if known; checked after the download.
        sha256: Its hash, likewise. The zip file also has checksums of its own.
    """

    about: dict
    names: tuple[str, ...]
    holds: Callable[[Path], object]
    page: str
    archive: str = ""
    command: str = ""
    size: int | None = None
    sha256: str | None = None


def _has(name: str) -> Callable[[Path], bool]:
    return lambda folder: (folder / name).is_dir()


NLM = "https://openi.nlm.nih.gov/imgs/collections"
KAGGLE = "https://www.kaggle.com"
_PAGE = "https://lhncbc.nlm.nih.gov/LHC-downloads/downloads.html#tuberculosis-image-data-sets"
# The owners publish neither sizes nor hashes of their archives. Both sizes were noted by others who
# fetched them; the sha256 of Montgomery is the one that the library torch-em checks its download against.
SOURCES = (
    Source(
        montgomery.ABOUT,
        cxr.FOLDERS["test"],
        _has("ManualMask"),
        _PAGE,
        f"{NLM}/NLM-MontgomeryCXRSet.zip",
        size=616_853_875,
        sha256="54601e952315d8f67383e9202a6e145997ade429f54f7e0af44b4e158714f424",
    ),
    Source(
        shenzhen.ABOUT,
        cxr.FOLDERS["target"],
        _has("CXR_png"),
        _PAGE,
        f"{NLM}/ChinaSet_AllFiles.zip",
        size=3_770_205_534,
    ),
    Source(
        shenzhen.ABOUT | {"name": "Shenzhen's lung masks"},
        cxr.FOLDERS["target"],
        _has("mask"),
        f"{KAGGLE}/datasets/yoctoman/shcxr-lung-mask",
        command="kaggle datasets download -d yoctoman/shcxr-lung-mask --unzip -p {folder}",
    ),
    Source(
        pediatric.ABOUT,
        cxr.FOLDERS["pneumonia"],
        pediatric.find_both_sides,
        "https://doi.org/10.17632/rscbjbr9sj",
        command="kaggle datasets download -d paultimothymooney/chest-xray-pneumonia --unzip "
        "-p {folder}",
    ),
    Source(
        rsna.ABOUT,
        cxr.FOLDERS["rsna"],
        rsna.has_rsna,
        f"{KAGGLE}/c/rsna-pneumonia-detection-challenge",
        command="kaggle competitions download -c rsna-pneumonia-detection-challenge "
        "-p {folder} && unzip -q {folder}/rsna-pneumonia-detection-challenge.zip -d {folder}",
    ),
)


def get_sets(
    data: str | Path,
    fetch: bool = True,
    sources: Sequence[Source] = SOURCES,
    report: Callable[[str], None] = print,
) -> list[str]:
    """Report which sets are in the folder ``data``, and how to get the others.

    Args:
        data: The folder of raw sets.
        fetch: Whether to download those that need no account.
        sources: The sets.
        report: Called with each line.

    Returns:
        The names of the sets that are still missing.
    """
    data, missing = Path(data), []
    for source in sources:
        name, place = source.about["name"], None
        try:
            place = _place(data, source)
            if not place and fetch and source.archive:
                place = _get(data, source, report)
        except (OSError, ValueError) as error:
            report(f"{name}: not got: {error}")
        report(f"{name}: {place or 'missing'}")
        report(f"  {source.about['source']}\n  {source.page}\n  licence: {source.about['licence']}")
        if not place:
            missing.append(name)
            report(f"  to get it: {_how(data, source)}")
    return missing


def _place(data: Path, source: Source) -> Path | None:
    places = (data / name for name in source.names)
    return next((place for place in places if source.holds(place)), None)


def _how(data: Path, source: Source) -> str:
    """Return what to type, or to fetch, for a set that is missing."""
    if source.archive:
        megabytes = f", {source.size / 1e6:,.0f} MB" if source.size else ""
        return f"{source.archive}{megabytes}, to be unpacked in {data}"
    # A folder that is there may lack a part. The last name is the one that the set's page uses.
    there = [name for name in source.names if (data / name).is_dir()]
    folder = data / (there or source.names)[0 if there else -1]
    return source.command.format(folder=shlex.quote(str(folder)))


def _get(data: Path, source: Source, report: Callable[[str], None]) -> Path | None:
    archive = data / Path(source.archive).name
    if not archive.is_file():
        found = download(source.archive, archive, size=source.size, sha256=source.sha256)
        report(f"{source.about['name']}: sha256 {found}")
    unpack(archive, data)
    return _place(data, source)
