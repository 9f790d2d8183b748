"""Random environments and shared files, from a seed: what an SDK may find on a machine where several
people set up several things, and made mistakes."""

import random

SCRIPTS = 12  # programs for credential_process: P000, P001, ...
PROFILES = ("default", "a", "b")


class Case:
    """The variables of a program, and the files of its home directory and beside it."""

    def __init__(self, seed, number, scratch, server):
        self.random = random.Random(f"{seed}/{number}")
        self.number = number
        self.directory = scratch / f"case-{seed}-{number}"
        self.bin = scratch / "bin"
        self.spaced = scratch / "with space"
        self.server = server
        self.ends = 0
        # How often a line is written in a way that not everybody reads.
        self.noise = self.random.choice((0, 0, 0.04, 0.12))
        self.environment = {"AWS_REGION": "eu-central-1", "AWS_ENDPOINT_URL": server}
        self.files = {}
        self.compose()

    def write(self):
        home = self.directory / "home"
        (home / ".aws").mkdir(parents=True)
        (home / "bin").symlink_to(self.bin)
        for path, text in self.files.items():
            path.write_text(text, encoding="utf-8")

    def describe(self):
        lines = [f"case {self.number}:"]
        plain = ("AWS_REGION", "PLACE", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "CHAIN_STS", "HOME")
        lines += [f"  {k}={v}" for k, v in self.environment.items() if k not in plain]
        for path, text in self.files.items():
            lines.append(f"  -- {path.relative_to(self.directory)}")
            lines += [f"  | {line}" for line in text.splitlines()]
        return "\n".join(lines)

    def chance(self, probability):
        return self.random.random() < probability

    def pick(self, *choices):
        return self.random.choice(choices)

    def key(self, letter):
        """An access key id whose end is its own."""
        self.ends += 1
        prefix = "AKIA" if letter == "E" else "ASIA"
        return f"{prefix}EXAMPLE00000{letter}{self.ends:03}"

    def compose(self):
        home = self.directory / "home"
        self.set("HOME", str(home))
        self.set("PLACE", str(home))
        self.set("AWS_DEFAULT_REGION", "eu-central-1")
        self.files[home / ".aws/credentials"] = self.file(config=False)
        self.files[home / ".aws/config"] = self.file(config=True)
        for path in list(self.files):
            if self.chance(0.15):
                del self.files[path]
        self.compose_paths(home)
        self.compose_profile()
        self.compose_keys()
        self.compose_web_identity()
        self.compose_container()
        self.compose_metadata()

    def set(self, name, value):
        self.environment[name] = value

    def compose_paths(self, home):
        for name, config in (("AWS_SHARED_CREDENTIALS_FILE", False), ("AWS_CONFIG_FILE", True)):
            if not self.chance(0.25):
                continue
            other = home / ("other-config" if config else "other-credentials")
            self.files[other] = self.file(config)
            gone = str(home / "gone")
            at_home = f"~/{other.name}"
            by_variable = f"$HOME/{other.name}"
            others = (f"${{HOME}}/{other.name}", f"$PLACE/{other.name}", f"$GONE/{other.name}",
                      f"${{PLACE/{other.name}", f"~//{other.name}", f"$HOMES/{other.name}", "~")
            paths = (str(other), str(other), at_home, by_variable, gone, "", "/dev/null", str(home),
                     self.pick(*others), self.pick(*others))
            self.set(name, self.pick(*paths))

    def compose_profile(self):
        for name, probability in (("AWS_PROFILE", 0.4), ("AWS_DEFAULT_PROFILE", 0.15)):
            if self.chance(probability):
                self.set(name, self.pick("a", "a", "b", "default", "gone", ""))

    def compose_keys(self):
        if not self.chance(0.2):
            return
        self.set("AWS_ACCESS_KEY_ID", self.pick(*[self.key("E")] * 5, ""))
        if self.chance(0.85):
            self.set("AWS_SECRET_ACCESS_KEY", self.pick(*["secret"] * 6, ""))
        if self.chance(0.2):
            self.set("AWS_ACCESS_KEY", self.key("E"))
        if self.chance(0.2):
            self.set(self.pick("AWS_SECRET_KEY", "SECRET_ACCESS_KEY"), "secret")
        if self.chance(0.3):
            self.set("AWS_SESSION_TOKEN", self.pick("token", ""))

    def token(self):
        """The file of a web identity's token, which is the end of the key that STS gives for it."""
        end = self.key("W")[-4:]
        path = self.directory / f"token-{end}"
        if self.chance(0.85):
            self.files[path] = end
        return str(path)

    def compose_web_identity(self):
        if not self.chance(0.15):
            return
        if self.chance(0.9):
            self.set("AWS_WEB_IDENTITY_TOKEN_FILE", self.pick(self.token(), self.token(), ""))
        if self.chance(0.8):
            role = "arn:aws:iam::000000000000:role/web"
            self.set("AWS_ROLE_ARN", self.pick(role, role, role, ""))

    def compose_container(self):
        if not self.chance(0.35):
            return
        uri = f"{self.server}/{self.key('C')[-4:]}"
        strange = ("", "nonsense", "http://192.0.2.1/x", uri.replace("127.0.0.1", "localhost"))
        self.set("AWS_CONTAINER_CREDENTIALS_FULL_URI", self.pick(*[uri] * 6, *strange))
        if self.chance(0.1):
            self.set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "")
        if self.chance(0.4):
            path = self.directory / "container-token"
            if self.chance(0.8):
                self.files[path] = self.pick("token", "token", "token", "")
            self.set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", self.pick(*[str(path)] * 4, ""))
        if self.chance(0.2):
            self.set("AWS_CONTAINER_AUTHORIZATION_TOKEN", self.pick("token", ""))

    def compose_metadata(self):
        """Nobody looks for EC2's own: it would be waited for."""
        if self.chance(0.6):
            self.set("AWS_EC2_METADATA_DISABLED", self.pick("true", "true", "TRUE", "True"))
            if self.chance(0.2):
                self.set("AWS_EC2_METADATA_SERVICE_ENDPOINT", self.pick(self.server, ""))
            return
        self.set("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"{self.server}/")
        if self.chance(0.3):
            self.set("AWS_EC2_METADATA_DISABLED", self.pick("false", "", "1", "yes"))

    def file(self, config):
        if self.chance(0.05):
            return ""
        sections = [self.section(config) for _ in range(self.pick(1, 1, 2, 2, 3))]
        if not self.chance(0.06):
            # A name stands once.
            sections = list({header.split("]")[0]: (header, s) for header, s in sections}.values())
        lines = []
        if self.chance(self.noise / 2):
            lines.append(self.pick("region = x", "word", "# comment", " # comment"))
        for header, section in sections:
            lines += [header, *section]
            lines += [""] * self.pick(0, 1)
        end = "" if self.chance(0.05) else "\n"
        return self.pick(*["\n"] * 9, "\r\n").join(lines) + end

    def header(self, config):
        name = self.pick(*PROFILES)
        if config and (name != "default" or self.chance(0.25)):
            name = f"profile {name}"
        elif self.chance(self.noise / 2):
            name = f"profile {name}"
        if not self.chance(self.noise * 2):
            return f"[{name}]"
        bare = name.removeprefix("profile ")
        return self.pick(
            f"[{name}] # note", f"[{name}]; note", f"[{name}];note", f"[{name}]# note",
            f"[{name}] note", f"[ {name} ]", f"[{name} ]", f" [{name}]", f"[{name}", f"[{name}] ",
            f'[profile "{bare}"]', f"[profile  {bare}]", f"[profile\t{bare}]", f"[{bare}]",
            f"[{name.upper()}]", "[DEFAULT]", f"[other {bare}]",
        )

    def section(self, config):
        settings = self.settings()
        if self.chance(0.3):
            settings.append(("region", "eu-central-1"))
        if self.chance(0.1):
            settings.insert(self.random.randrange(len(settings) + 1), ("s3", None))
        if self.chance(0.25):
            self.random.shuffle(settings)
        if settings and self.chance(0.04):
            name, value = self.pick(*settings)
            settings.append((name, self.key("F") if name == "aws_access_key_id" else value))
        lines = []
        for name, value in settings:
            if value is None:
                lines += [f"{name} =", "  max_queue_size = 3", "    addressing_style = path"]
                continue
            lines.append(self.line(name, value))
            if self.chance(self.noise / 2):
                lines.append(self.pick("# note", "; note", "  # note", "", "word", "  = x", "  word"))
        return self.header(config), lines

    def line(self, name, value):
        if self.chance(self.noise / 2):
            value = ""
        if not self.chance(self.noise * 2):
            return self.pick(f"{name} = {value}", f"{name} = {value}", f"{name}={value}")
        return self.pick(
            f"{name}: {value}", f"{name} : {value}", f"  {name} = {value}", f"\t{name} = {value}",
            f"{name} = {value} # note", f"{name} = {value} ; note", f"{name} = {value}#note",
            f"{name.upper()} = {value}", f"{name.title()} = {value}", f'{name} = "{value}"',
            f"{name} = '{value}'", f"{name} = {value}  ", f"{name}\t=\t{value}", f"{name} =\n  {value}",
            f"{name} {value}", f"# {name} = {value}", f"{name} = {value}\n  no-such-command",
        )

    def keys(self):
        return [("aws_access_key_id", self.key("F")), ("aws_secret_access_key", "secret")]

    def settings(self):
        """What a profile sets."""
        role = ("role_arn", "arn:aws:iam::000000000000:role/r")
        kind = self.random.random()
        if kind < 0.3:
            keys = self.keys()
            if self.chance(0.3):
                keys.append(("aws_session_token", "token"))
            if self.chance(0.1):
                keys.pop(self.pick(0, 1))
            if self.chance(0.15):
                keys.append(self.process())
            return keys
        if kind < 0.5:
            return [self.process()]
        if kind < 0.75:
            source = ("source_profile", self.pick(*PROFILES, "gone"))
            names = ("Environment", "EcsContainer", "Ec2InstanceMetadata", "Nonsense")
            other = ("credential_source", self.pick(*names[:3], self.pick(*names)))
            ways = [[source], [source], [source], [other], [other], [source, other], []]
            settings = [role, *self.pick(*ways)]
            if self.chance(0.2):
                settings += self.keys()
            if self.chance(0.1):
                settings.append(self.process())
            return settings
        if kind < 0.85:
            settings = [("web_identity_token_file", self.token())]
            if self.chance(0.8):
                settings.append(role)
            if self.chance(0.15):
                settings += self.keys()
            if self.chance(0.15):
                settings.append(("source_profile", self.pick(*PROFILES)))
            return settings
        return []

    def process(self):
        name = f"P{self.random.randrange(SCRIPTS):03}"
        plain = f"{self.bin}/{name}"
        forms = (
            f'"{plain}"', f"'{plain}' --x", f'{plain} arg "a b"', f'"{self.spaced}/{name}"',
            f"{self.spaced}/{name}", f"$HOME/bin/{name}", f"~/bin/{name}", name, f"/gone/{name}",
            f"{plain} --x=1", f'"$HOME/bin/{name}" "a  b"', f"'{self.spaced}'/{name}\t-x",
            f"{self.spaced}".replace("with ", '"with "') + f"/{name}", f"{plain}\u00a0x",
            f'"{plain}\\"', f"{plain} 'it'\\''s'", f"{plain} 'open", f'{plain} "\\a\\""',
            str(self.spaced).replace(" ", "\\ ") + f"/{name}",
        )
        return ("credential_process", self.pick(*[plain] * 15, *forms))
