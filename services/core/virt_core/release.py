"""Which release this process was built as. Read by every service for GetInfo, labels and logs."""

from __future__ import annotations

import os

# The image build writes the suite's version into KUBEVIRT_VERSION; a checkout run by hand has none.
RELEASE = os.environ.get("KUBEVIRT_VERSION", "0.0.0-dev")

# Rises with each release that adds behaviour which the whole cluster must know (docs: ARCHITECTURE.md, "Releases").
FEATURE_LEVEL = 2
