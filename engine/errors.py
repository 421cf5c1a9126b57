"""Every error a user can meet: one sentence that names the thing and the way out."""

from __future__ import annotations

from engine.text import sentence


class WorkbenchError(Exception):
    """Base of all errors whose text is written for the user; anything else is a defect.

    What the text quotes of a file or an option is made printable and kept short.
    """

    def __init__(self, text: str) -> None:
        super().__init__(sentence(text))


class InvalidRequest(WorkbenchError):
    """A request asks for something that does not exist or does not fit together."""


class WeightsUnavailable(WorkbenchError):
    """Weights are neither on this machine nor reachable; the text says where to put them."""


class CheckpointRejected(WorkbenchError):
    """A checkpoint is unreadable, unsafe, or does not belong to the model it was given for."""


class ExportFailed(WorkbenchError):
    """A model could not be exported, or its export does not compute what the model does."""


class BuildFailed(WorkbenchError):
    """An artifact of the asked precision could not be made."""


class BenchmarkFailed(WorkbenchError):
    """A measurement of speed could not be taken."""


class DatasetInvalid(WorkbenchError):
    """A dataset is missing, unreadable, or its labels are incomplete or out of range."""


class LabelsMismatch(WorkbenchError):
    """A model's outputs and a dataset's labels do not mean the same classes."""


class ImageRejected(WorkbenchError):
    """An image is too large, truncated, or not an image."""


class ProviderUnavailable(WorkbenchError):
    """The execution provider asked for is not the one that would run."""


class ArtifactMissing(WorkbenchError):
    """An artifact or one of its files is not where the database says it is."""


class VaccFileInvalid(WorkbenchError):
    """A file of the vendor's tool chain is not what it should be; file and line are named."""


class HomeUnusable(WorkbenchError):
    """The folder of all data cannot be made, or what identifies it is damaged."""


class DatabaseUnusable(WorkbenchError):
    """The database is gone, another home's, of a newer version, or its address is none."""


class StorageFull(WorkbenchError):
    """The disk was full while a file was being written; nothing half-written remains."""


class JobLost(WorkbenchError):
    """This attempt of a job no longer owns its row: another attempt runs, or it was cancelled."""
