"""For files.py: what botocore reads in the files named on standard input."""

import json
import sys

from botocore.configloader import raw_config_parse
from botocore.exceptions import ConfigParseError

for name in sys.stdin:
    try:
        print(json.dumps(raw_config_parse(name.rstrip("\n"))))
    except ConfigParseError:
        print("null")
