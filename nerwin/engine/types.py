"""Names for the types of arrays, so that signatures read easily."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Indices = NDArray[np.integer[Any]]
