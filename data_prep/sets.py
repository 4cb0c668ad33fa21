"""Where the public sets come from, which of them are there, and how to get the others."""

from dataclasses import dataclass
from pathlib import Path

from data_prep import cxr, montgomery, pediatric, rsna, shenzhen
from data_prep.download import download, unpack


@dataclass(frozen=True)
class Source:
    """A public set: `holds` is what its folder, by one of `names`, has in it when it is there.

    `archive` can be had without an account; `command` is for the rest, with {data} for the folder.
    The owners publish no hashes: with `sha256` None the zip's own checksums must do.
    """

    about: dict
    names: tuple[str, ...]
    holds: str
    page: str
    archive: str = ""
    command: str = ""
    sha256: str | None = None


NLM = "https://openi.nlm.nih.gov/imgs/collections"
KAGGLE = "https://www.kaggle.com"
_PAGE = "https://lhncbc.nlm.nih.gov/LHC-downloads/downloads.html#tuberculosis-image-data-sets"
SOURCES = (
    Source(
        montgomery.ABOUT,
        cxr.FOLDERS["test"],
        "ManualMask",
        _PAGE,
        f"{NLM}/NLM-MontgomeryCXRSet.zip",
    ),
    Source(shenzhen.ABOUT, cxr.FOLDERS["target"], "CXR_png", _PAGE, f"{NLM}/ChinaSet_AllFiles.zip"),
    Source(
        shenzhen.ABOUT | {"name": "Shenzhen's lung masks"},
        cxr.FOLDERS["target"],
        "mask",
        f"{KAGGLE}/datasets/yoctoman/shcxr-lung-mask",
        command="kaggle datasets download -d yoctoman/shcxr-lung-mask --unzip "
        "-p {data}/ChinaSet_AllFiles",
    ),
    Source(
        pediatric.ABOUT,
        cxr.FOLDERS["pneumonia"],
        "",
        "https://doi.org/10.17632/rscbjbr9sj",
        command="kaggle datasets download -d paultimothymooney/chest-xray-pneumonia --unzip "
        "-p {data}/pediatric",
    ),
    Source(
        rsna.ABOUT,
        cxr.FOLDERS["rsna"],
        rsna.TRAIN,
        f"{KAGGLE}/c/rsna-pneumonia-detection-challenge",
        command="kaggle competitions download -c rsna-pneumonia-detection-challenge "
        "-p {data}/rsna && unzip -q {data}/rsna/*.zip -d {data}/rsna",
    ),
)


def get_sets(data, fetch=True, sources=SOURCES, say=print):
    """Say of each set whether it is in the folder `data`; with `fetch`, get those that can be had.

    What needs an account is only told how to get. Returns the names of the sets still missing.
    """
    data, missing = Path(data), []
    for source in sources:
        name, place = source.about["name"], _place(data, source)
        if not place and fetch and source.archive:
            try:
                place = _get(data, source, say)
            except (OSError, ValueError) as error:
                say(f"{name}: not got: {error}")
        say(f"{name}: {place or 'missing'}")
        say(f"  {source.about['source']}\n  {source.page}\n  licence: {source.about['licence']}")
        if not place:
            missing.append(name)
            how = source.command.format(data=data) or f"{source.archive}, to be unpacked in {data}"
            say(f"  to get it: {how}")
    return missing


def _place(data, source):
    places = (data / name for name in source.names)
    return next((place for place in places if (place / source.holds).is_dir()), None)


def _get(data, source, say):
    archive = data / Path(source.archive).name
    if not archive.is_file():
        say(
            f"{source.about['name']}: sha256 {download(source.archive, archive, sha256=source.sha256)}"
        )
    unpack(archive, data)
    return _place(data, source)
