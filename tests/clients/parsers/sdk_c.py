"""For files.py: what the AWS SDK for C reads in the files named on standard input, as far as its Python
module lets it be seen: the keys of the profiles `default` and `probe`."""

import json
import sys

from awscrt.auth import AwsCredentialsProvider
from awscrt.io import ClientBootstrap, DefaultHostResolver, EventLoopGroup

group = EventLoopGroup(1)
bootstrap = ClientBootstrap(group, DefaultHostResolver(group))


def keys(path, profile):
    try:
        provider = AwsCredentialsProvider.new_profile(
            bootstrap, profile_name=profile, config_filepath="/dev/null", credentials_filepath=path
        )
        found = provider.get_credentials().result(10)
    except Exception:  # It raises what the C library names, as RuntimeError.
        return None
    return {
        "aws_access_key_id": found.access_key_id,
        "aws_secret_access_key": found.secret_access_key,
        "aws_session_token": found.session_token,
    }


for name in sys.stdin:
    read = {profile: keys(name.rstrip("\n"), profile) for profile in ("default", "probe")}
    print(json.dumps({profile: found for profile, found in read.items() if found}))
