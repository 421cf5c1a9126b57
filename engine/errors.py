"""Errors shown to users: each message is one sentence that names the object and the way out."""

from __future__ import annotations

from engine.text import sentence


class WorkbenchError(Exception):
    """Base of all errors whose message is written for users; any other error is a bug.

    Quoted content of files and options is made printable and cut.
    """

    def __init__(self, text: str) -> None:
        super().__init__(sentence(text))


class InvalidRequest(WorkbenchError):
    """A request names something that does not exist, or combines options that do not fit."""


class WeightsUnavailable(WorkbenchError):
    """Weights are missing and cannot be downloaded; the message says where to put them."""


class CheckpointRejected(WorkbenchError):
    """A checkpoint is unreadable, unsafe, or does not belong to the model it was given for."""


class ExportFailed(WorkbenchError):
    """A model could not be exported, or its export does not compute the same as the model."""


class BuildFailed(WorkbenchError):
    """A build of the requested precision could not be made."""


class BenchmarkFailed(WorkbenchError):
    """A benchmark could not be measured."""


class DatasetInvalid(WorkbenchError):
    """A dataset is missing, unreadable, or its labels are incomplete or out of range."""


class LabelsMismatch(WorkbenchError):
    """A model's outputs and a dataset's labels are not the same classes."""


class ImageRejected(WorkbenchError):
    """An image is too large, truncated, or not an image."""


class ProviderUnavailable(WorkbenchError):
    """The requested execution provider cannot run the model."""


class NotSupported(WorkbenchError):
    """A runtime does not offer what was requested of it."""


class ArtifactMissing(WorkbenchError):
    """An artifact or one of its files is not where the database says it is."""


class StoreUnavailable(WorkbenchError):
    """The shared store cannot be reached, read or written, or its URL is invalid."""


class StoreDamaged(WorkbenchError):
    """A file of the shared store does not have the content that its digest says; it is not used."""


class OtherOutputs(WorkbenchError):
    """This machine does not compute the same bits as those that began an evaluation."""


class VaccFileInvalid(WorkbenchError):
    """A file of the vendor's tool chain is invalid; the message names file and line."""


class HomeUnusable(WorkbenchError):
    """The home folder cannot be created, or its identity file is damaged."""


class DatabaseUnusable(WorkbenchError):
    """The database is missing, owned by another home, of a newer version, or its URL is invalid."""


class ChildFailed(WorkbenchError):
    """A child process gave no answer: it died, or was stopped at its limit of time or memory."""


class StorageFull(WorkbenchError):
    """The disk was full during a write; no partial file remains."""


class JobLost(WorkbenchError):
    """This attempt no longer owns the job: another attempt runs, or the job was cancelled."""
