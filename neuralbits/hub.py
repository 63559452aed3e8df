"""Artifacts on the Hugging Face Hub, at addresses like ``hf://owner/name@revision``.

A repository holds one artifact and, as README.md, its model card. `huggingface_hub` does the
transfer and keeps what it fetched, so a pinned revision needs the network once only.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partialmethod
from pathlib import Path

from neuralbits import manifest
from neuralbits.errors import NeuralbitsError, escaped, needing, shown

SCHEME = "hf://"
CARD = "README.md"
_ADDRESS = re.compile(r"hf://(?P<repository>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")


class HubError(NeuralbitsError):
    """An address is wrong, or the Hub refuses it or can't be reached."""


@dataclass(frozen=True)
class Address:
    """A repository of the Hub, and which of its revisions.

    Example:
        >>> Address.parse("hf://acme/lamp@v2")
        Address(repository='acme/lamp', revision='v2')
        >>> print(Address("acme/lamp"))
        hf://acme/lamp
    """

    repository: str
    """``owner/name``."""
    revision: str | None = None
    """A branch, a tag or a commit's hash; None is the branch ``main``."""

    @classmethod
    def parse(cls, address: str) -> "Address":
        """Parse ``hf://owner/name``, with ``@`` and a revision at its end or without.

        Raises:
            HubError: the address is written otherwise.
        """
        found = _ADDRESS.fullmatch(address)
        if found is None:
            raise HubError(f"{shown(address)}: write hf://owner/name or hf://owner/name@revision")
        return cls(found["repository"], found["revision"])

    def __str__(self) -> str:
        return f"{SCHEME}{self.repository}" + f"@{self.revision}" * bool(self.revision)


def fetch(address: str) -> Path:
    """Fetch the artifact of a repository, and return its path in the Hub's local cache.

    Without network, or with ``HF_HUB_OFFLINE=1``, an artifact that was fetched before is used.

    Raises:
        HubError: there is no such repository or revision, it doesn't have exactly one artifact, or
            the Hub can't be reached and the artifact isn't in the cache.
        MissingExtraError: huggingface_hub isn't installed.
    """
    parsed = Address.parse(address)
    with needing("hub"):
        from huggingface_hub import snapshot_download
    with _errors(parsed):
        folder = Path(
            snapshot_download(
                parsed.repository,
                revision=parsed.revision,
                allow_patterns="*.safetensors",
                tqdm_class=_no_progress(),
            )
        )
    artifacts = sorted(folder.glob("*.safetensors"))
    if len(artifacts) != 1:
        names = ", ".join(file.name for file in artifacts) or "none"
        raise HubError(f"{parsed} must have one .safetensors file at its top; it has {names}")
    return artifacts[0]


def push(artifact: Path, address: str, *, private: bool = False) -> str:
    """Upload an artifact, and the model card beside it if there is one, as one commit.

    The repository is made if it doesn't exist. The token is that of ``hf auth login`` or of
    ``HF_TOKEN``.

    Args:
        artifact: the artifact's file.
        address: ``hf://owner/name``, or with ``@branch``.
        private: whether a repository that has to be made is private.

    Returns:
        The address of the new commit, by its hash.

    Raises:
        ArtifactError: the file is no artifact that can be used.
        HubError: the Hub refuses it or can't be reached.
        MissingExtraError: huggingface_hub isn't installed.
    """
    parsed = Address.parse(address)
    with manifest.reading(artifact) as content:
        manifest.open(content)
    with needing("hub"):
        from huggingface_hub import CommitOperationAdd, HfApi
    card = artifact.with_suffix(".md")
    operations = [CommitOperationAdd(artifact.name, content)]
    if card.is_file():
        operations.append(CommitOperationAdd(CARD, card.read_bytes()))
    with _errors(parsed):
        api = HfApi()
        api.create_repo(parsed.repository, exist_ok=True, private=private)
        commit = api.create_commit(
            parsed.repository,
            operations,
            commit_message=f"Upload {artifact.name} by neuralbits",
            revision=parsed.revision,
        )
    return str(Address(parsed.repository, commit.oid))


@contextmanager
def _errors(address: Address) -> Iterator[None]:
    """Turn the errors of huggingface_hub into a clause or two.

    Raises:
        HubError: the Hub refuses, or can't be reached.
    """
    from huggingface_hub import errors

    # Of the HTTP client that it uses, which isn't the same in each version.
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]

    try:
        yield
    except errors.RevisionNotFoundError:
        raise HubError(f"{address}: the repository has no such revision") from None
    except errors.RepositoryNotFoundError:
        raise HubError(
            f"{address}: the Hub has no such repository, or it is private; check the name, or log "
            "in by `hf auth login`"
        ) from None
    except errors.LocalEntryNotFoundError:
        raise HubError(
            f"{address}: the Hub can't be reached, and the artifact isn't in the cache; check the "
            "network, HF_ENDPOINT and HF_HUB_OFFLINE"
        ) from None
    except (errors.HfHubHTTPError, errors.HFValidationError) as error:
        first_line = str(error).strip().partition("\n")[0]
        raise HubError(f"{address}: the Hub refuses: {escaped(first_line)}") from None
    except (HTTPError, errors.OfflineModeIsEnabled) as error:
        raise HubError(
            f"{address}: the Hub can't be reached ({type(error).__name__}); check the network, "
            "HF_ENDPOINT and HF_HUB_OFFLINE"
        ) from None


def _no_progress() -> type:
    """Return a progress bar that prints nothing: an artifact is a few tens of kilobytes."""
    from huggingface_hub.utils.tqdm import tqdm

    return type("Silent", (tqdm,), {"__init__": partialmethod(tqdm.__init__, disable=True)})
