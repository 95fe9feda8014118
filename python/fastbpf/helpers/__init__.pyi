"""The helper functions that the kernel offers to BPF programs: what they are, and what this kernel allows."""

from fastbpf.helpers.btf import Comparison as Comparison
from fastbpf.helpers.btf import check as check
from fastbpf.helpers.helper import Helper as Helper
from fastbpf.helpers.helper import HelperError as HelperError
from fastbpf.helpers.probing import Probed as Probed
from fastbpf.helpers.probing import Verdict as Verdict
from fastbpf.helpers.probing import probe as probe
from fastbpf.helpers.registry import all as all
from fastbpf.helpers.registry import available as available
from fastbpf.helpers.registry import by_category as by_category
from fastbpf.helpers.registry import categories as categories
from fastbpf.helpers.registry import compatible as compatible
from fastbpf.helpers.registry import get as get
from fastbpf.helpers.registry import register as register
from fastbpf.helpers.registry import search as search
from fastbpf.helpers.registry import since as since
from fastbpf.helpers.registry import unregister as unregister
from fastbpf.helpers.registry import until as until
from fastbpf.helpers.summary import Stats as Stats
from fastbpf.helpers.summary import describe as describe
from fastbpf.helpers.summary import stats as stats
from fastbpf.helpers.summary import table as table
