"""Images as archives in the cache: built when an input changed, found otherwise, in which case no engine is started.

An archive is kept by the id of its image, and a link by the key of its inputs points to it: a changed input that changes
nothing in the image costs a build from cached steps, but no new archive and no new import.
"""

import io
import shutil
import sys
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from pathlib import Path

from tests.cluster.embedded import cache, programs
from tests.cluster.embedded import engine as engines
from tests.cluster.embedded.catalog import Image
from tests.cluster.embedded.configuration import PAUSE_IMAGE
from tests.cluster.embedded.engine import Engine
from tests.cluster.embedded.errors import ClusterError

_SUITE = "trixie"
_PACKAGES = ("python3", "python3-venv", "python3-pip", "ca-certificates")
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
# Devices and kernel files belong to whoever runs the image; the rest nobody reads in a container.
_LEFT_OUT = (
    *("dev/*", "proc/*", "sys/*", "run/*", "tmp/*"),
    *("var/cache/apt/*.bin", "var/cache/apt/archives/*.deb", "var/lib/apt/lists/*", "var/log/*.log"),
    *("usr/share/doc/*/*", "usr/share/man/*/*", "usr/share/locale/*/*"),
)
# As the published slim images have it: what is installed later leaves no downloads, no manuals and no translations.
_SETTINGS = {
    "etc/apt/apt.conf.d/docker-clean": (
        'DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb"; };\n'
        'Dir::Cache::pkgcache "";\n'
        'Dir::Cache::srcpkgcache "";\n'
        'Acquire::Languages "none";\n'
    ),
    "etc/dpkg/dpkg.cfg.d/docker": (
        "path-exclude /usr/share/doc/*\n"
        "path-include /usr/share/doc/*/copyright\n"
        "path-exclude /usr/share/man/*\n"
        "path-exclude /usr/share/locale/*\n"
        "path-include /usr/share/locale/locale.alias\n"
    ),
}

_PAUSE_SOURCE = Path(__file__).resolve().parents[1] / "images" / "pause" / "pause.c"
_PAUSE_FLAGS = ("-Os", "-static", "-s", "-Wall", "-Werror")

_Build = Callable[[Engine], str]  # makes the image, and returns what the engine calls it


def archives_of(images: Iterable[Image]) -> dict[Image, Path]:
    """An archive for each image, for a node that reaches no registry; what is missing is built by our own engine."""
    return _archives(images, engines.of_our_own, _base_key(), _base_image)


def archives_by_this_machine(images: Iterable[Image]) -> dict[Image, Path]:
    """The same by the machine's engine, from the published base images that the Dockerfiles name."""
    return _archives(images, lambda: nullcontext(engines.of_this_machine()), "published", lambda _: None)


def archive_of_pause() -> Path:
    """The image of every Pod's first container, which holds its namespaces."""
    key = cache.key_of(_PAUSE_SOURCE.read_bytes(), *_PAUSE_FLAGS)
    link = _link(PAUSE_IMAGE, key)
    if not link.exists():
        with cache.lock("images"):
            if not link.exists():
                with engines.of_our_own() as engine:
                    _keep(engine, PAUSE_IMAGE, link, _pause_image)
    return link.resolve()


def _archives(
    images: Iterable[Image],
    start_engine: Callable[[], AbstractContextManager[Engine]],
    base_key: str,
    make_base: Callable[[Engine], str | None],
) -> dict[Image, Path]:
    contexts = {image: context_of(image) for image in images}
    links = {
        image: _link(
            image.reference, cache.key_of(context, base_key, image.target or "", *map("=".join, image.arguments))
        )
        for image, context in contexts.items()
    }
    if _missing(links):
        with cache.lock("images"):
            # Asked again: whoever was here meanwhile may have built them.
            if missing := _missing(links):
                with start_engine() as engine:
                    base = make_base(engine)
                    for image in missing:
                        _keep(engine, image.reference, links[image], _built(image, contexts[image], base))
                    engine.forget_leftovers()
    return {image: link.resolve() for image, link in links.items()}


def _missing(links: Mapping[Image, Path]) -> list[Image]:
    return [image for image, link in links.items() if not link.exists()]


def _built(image: Image, context: bytes, base: str | None) -> _Build:
    def build(engine: Engine) -> str:
        arguments = dict(image.arguments) | ({"BASE_IMAGE": base} if base else {})
        engine.build(image.reference, context, target=image.target, arguments=arguments)
        return image.reference

    return build


def _keep(engine: Engine, reference: str, link: Path, build: _Build) -> None:
    """Build the image, see that there is an archive of it, and let the link point there."""
    print(f"Building the image {reference}.", file=sys.stderr)
    built = build(engine)
    archive = link.with_name(f"{_slug(reference)}@{engine.id_of(built)}.tar")
    if not archive.exists():
        engine.save(built, archive)
    archive.touch()
    with cache.published(link) as unfinished:
        unfinished.symlink_to(archive.name)
    cache.keep_newest(f"{_slug(reference)}@*.tar", archive.parent)
    for old in archive.parent.glob(f"{_slug(reference)}-*.tar"):
        if not old.exists():
            old.unlink()


def _link(reference: str, key: str) -> Path:
    return cache.folder() / "images" / f"{_slug(reference)}-{key}.tar"


def _slug(reference: str) -> str:
    return reference.replace("/", "_").replace(":", "_")


def context_of(image: Image) -> bytes:
    """The build's context as a tar: the same files give the same bytes, whoever owns them and whenever they were written."""
    stream = io.BytesIO()
    # A link is sent as what it leads to, which may lie outside of the context.
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT, dereference=True) as archive:
        for path in sorted({image.context / "Dockerfile", *_files_of(image)}):
            entry = archive.gettarinfo(path, str(path.relative_to(image.context)))
            entry.uid = entry.gid = 0
            entry.uname = entry.gname = ""
            entry.mode = 0o755 if entry.mode & 0o100 else 0o644
            # Not zero: zip archives, and so wheels, know no time before 1980.
            entry.mtime = 1_000_000_000
            with path.open("rb") as content:
                archive.addfile(entry, content)
    return stream.getvalue()


def _files_of(image: Image) -> Iterator[Path]:
    for source in image.sources:
        path = image.context / source
        if not path.exists():
            raise ClusterError(f"The image {image.reference} copies {path}, which is not there.")
        files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
        yield from (file for file in files if "__pycache__" not in file.parts)


def _base_key() -> str:
    return cache.key_of(_SUITE, *_PACKAGES, *_LEFT_OUT, *chain(*_SETTINGS.items()), _CERTIFICATES.read_bytes())


def _base_image(engine: Engine) -> str:
    """Debian with Python, as the published `python:3.13-slim-trixie` has it, made from Debian's packages."""
    reference = f"dbmigration-base:{_base_key()}"
    if engine.has(reference):
        return reference
    print("Making the base image from Debian's packages; this takes a minute or two.", file=sys.stderr)
    folder = cache.folder() / "base"
    shutil.rmtree(folder, ignore_errors=True)
    root, archive = folder / "root", folder / "root.tar"
    folder.mkdir(parents=True)
    try:
        programs.run("debootstrap", "--variant=minbase", f"--include={','.join(_PACKAGES)}", _SUITE, root)
        # The machine may reach the package indexes through a proxy whose authority only it knows.
        shutil.copyfile(_CERTIFICATES, root / _CERTIFICATES.relative_to("/"))
        for file, text in _SETTINGS.items():
            (root / file).write_text(text, encoding="utf-8")
        exclusions = [f"--exclude=./{pattern}" for pattern in _LEFT_OUT]
        programs.run("tar", "--create", "--numeric-owner", f"--file={archive}", f"--directory={root}", *exclusions, ".")
        engine.import_filesystem(reference, archive, f"ENV PIP_CERT={_CERTIFICATES}", 'CMD ["bash"]')
    finally:
        shutil.rmtree(folder)
    return reference


def _pause_image(engine: Engine) -> str:
    folder = cache.folder() / "pause"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        programs.run("gcc", *_PAUSE_FLAGS, "-o", folder / "pause", _PAUSE_SOURCE)
        programs.run("tar", "--create", f"--file={folder / 'pause.tar'}", f"--directory={folder}", "pause")
        engine.import_filesystem(PAUSE_IMAGE, folder / "pause.tar", 'ENTRYPOINT ["/pause"]')
    finally:
        shutil.rmtree(folder)
    return PAUSE_IMAGE
