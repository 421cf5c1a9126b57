"""The package to deploy: a zip with the model, its exact steps, a script that runs it, provenance.

`write_package` writes it; the script needs only numpy, Pillow and the runtime.
"""

from engine.results.package.archive import package_name, package_runtime, write_package
from engine.results.package.snippet import snippet

__all__ = ["package_name", "package_runtime", "snippet", "write_package"]
