//! Which AWS SDK a program has, as far as can be told from outside: by the libraries that are mapped,
//! by what its interpreter would find, and by what stands in its own file.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::root::Root;
use crate::pure::chain::{Sdk, shown};

/// What is known of a program for this.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub executable: Option<PathBuf>,
    pub arguments: Vec<String>,
    /// Files that are mapped into it.
    pub mapped: Vec<PathBuf>,
    /// Files that it holds open.
    pub open: Vec<PathBuf>,
    /// Where its environment tells an interpreter to look.
    pub library_paths: Vec<PathBuf>,
    /// Where its environment tells a shell to look for programs.
    pub search_path: Vec<PathBuf>,
    /// Its own file.
    pub image: Option<File>,
}

/// An SDK, and how it was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recognised {
    pub sdk: Sdk,
    /// In words.
    pub evidence: String,
}

/// Longer files are searched no further.
const LONGEST_IMAGE: u64 = 512 << 20;

/// Scripts are not longer, bundles aside.
const LONGEST_SCRIPT: u64 = 64 << 20;

/// How many of a Java program's archives are searched.
const MOST_ARCHIVES: usize = 64;

/// What stands in a program that was linked with an SDK: Go's module path, the C++ SDK's name in its
/// `User-Agent`, the path of a Rust crate in its panics. All begin with the same letter, for the search.
const MARKS: [(&str, Sdk); 4] = [
    ("aws-sdk-go-v2", Sdk::Go),
    ("aws-sdk-cpp", Sdk::Cpp),
    ("aws-sdk-rust", Sdk::Rust),
    ("aws-runtime-1.", Sdk::Rust),
];

/// A class of the Java SDK, as its name stands in an archive.
const JAVA_MARK: &str = "awssdk/auth/credentials/";

/// The SDK for JavaScript, bundled or imported by a script.
const JAVA_SCRIPT_MARK: &str = "aws-sdk/c";

/// How many directories of a variable are looked at.
const MOST_PATHS: usize = 64;

/// Variables by which interpreters are told where libraries are.
const LIBRARY_PATHS: [&str; 4] = ["PYTHONPATH", "NODE_PATH", "GEM_HOME", "GEM_PATH"];

/// The absolute paths in these variables of an environment.
fn paths_in(environment: &[u8], variables: &[&str]) -> Vec<PathBuf> {
    let entries = environment.split(|&byte| byte == 0).map(String::from_utf8_lossy);
    let mut paths = Vec::new();
    for entry in entries {
        if let Some((name, value)) = entry.split_once('=')
            && variables.contains(&name)
        {
            let parts = value.split(':').filter(|part| part.starts_with('/'));
            paths.extend(parts.take(MOST_PATHS).map(PathBuf::from));
        }
    }
    paths
}

/// None when nothing tells it.
pub(super) fn recognise(program: Loaded, root: &Root) -> Option<Recognised> {
    program
        .by_mapped_library()
        .or_else(|| program.by_interpreter(root))
        .or_else(|| program.by_marks())
}

fn recognised(sdk: Sdk, evidence: String) -> Option<Recognised> {
    Some(Recognised { sdk, evidence })
}

impl Loaded {
    /// What an environment says of where things are found.
    pub(super) fn finding_by(environment: &[u8]) -> Self {
        Self {
            library_paths: paths_in(environment, &LIBRARY_PATHS),
            search_path: paths_in(environment, &["PATH"]),
            ..Self::default()
        }
    }

    /// Where its commands are looked for; where `PATH` is not set, where the C library looks.
    pub(super) fn search_path(&self) -> Vec<PathBuf> {
        match &self.search_path[..] {
            [] => ["/bin", "/usr/bin"].map(PathBuf::from).into(),
            set => set.to_vec(),
        }
    }

    fn by_mapped_library(&self) -> Option<Recognised> {
        let own = self.executable.iter();
        let mapped = own.chain(&self.mapped).find_map(|path| {
            let name = path.file_name()?.to_str()?;
            if name.starts_with("libaws-cpp-sdk-core.") {
                Some((Sdk::Cpp, path))
            } else if name.eq_ignore_ascii_case("AWSSDK.Core.dll") {
                Some((Sdk::DotNet, path))
            } else if path.to_str()?.contains("/aws-cli/v2/") {
                Some((Sdk::AwsCli, path))
            } else {
                None
            }
        });
        let (sdk, path) = mapped?;
        recognised(sdk, format!("it has {} mapped", shown(&path.to_string_lossy())))
    }

    fn by_interpreter(&self, root: &Root) -> Option<Recognised> {
        let name = self.executable.as_ref()?.file_name()?.to_str()?;
        let embeds_python = || {
            let mut names = self.mapped.iter().filter_map(|path| path.file_name()?.to_str());
            names.any(|name| name.starts_with("libpython3"))
        };
        match name {
            _ if name.starts_with("node") => self.in_node(root),
            _ if name.starts_with("ruby") => self.in_ruby(root),
            _ if name.starts_with("php") => self.in_php(root),
            "java" => self.in_java(root),
            _ if name.starts_with("python") || embeds_python() => self.in_python(root),
            _ => None,
        }
    }

    /// The file of that name, which a shell may have found by `PATH`.
    fn called(&self, root: &Root) -> Option<PathBuf> {
        let name = Path::new(self.arguments.first()?);
        if name.components().count() > 1 {
            return Some(root.absolute(name));
        }
        let mut places = self.search_path.iter().map(|directory| directory.join(name));
        places.find(|path| root.open(path).is_ok())
    }

    fn in_python(&self, root: &Root) -> Option<Recognised> {
        let script = self.script().and_then(Path::file_name);
        if script.is_some_and(|script| script == "aws") {
            return recognised(Sdk::AwsCli, "its script is called aws".to_owned());
        }
        let mut places = self.library_paths.clone();
        // The name by which it was called leads to its virtual environment.
        let prefixes = [self.called(root), self.executable.clone()].into_iter().flatten();
        for prefix in prefixes.filter_map(|path| Some(path.parent()?.parent()?.to_owned())) {
            places.extend(python_libraries(&prefix, root));
            if root.open(&prefix.join("pyvenv.cfg")).is_ok() {
                break;
            }
        }
        places.extend(self.mapped.iter().filter_map(|path| library_of(path)));
        let place = places.into_iter().find(|place| root.is_directory(&place.join("botocore")))?;
        let place = shown(&place.to_string_lossy());
        recognised(Sdk::Boto3, format!("its Python finds botocore in {place}"))
    }

    fn in_node(&self, root: &Root) -> Option<Recognised> {
        let script = self.script().map(|script| root.absolute(script));
        let mark = script.as_deref().and_then(|script| find_mark(root, script, JAVA_SCRIPT_MARK));
        if mark.is_some() {
            return recognised(Sdk::JavaScript, "its script names @aws-sdk".to_owned());
        }
        let script = script.unwrap_or_else(|| root.absolute(Path::new("script")));
        let above = script.ancestors().skip(1).map(|directory| directory.join("node_modules"));
        let mut places = above.chain(self.library_paths.iter().cloned());
        let place = places.find(|place| root.is_directory(&place.join("@aws-sdk")))?;
        let place = shown(&place.to_string_lossy());
        recognised(Sdk::JavaScript, format!("its script finds @aws-sdk in {place}"))
    }

    fn in_ruby(&self, root: &Root) -> Option<Recognised> {
        let mut places = self.library_paths.clone();
        let versions = |directory: &str| {
            let below = root.names(Path::new(directory)).into_iter();
            below.map(|name| Path::new(directory).join(name)).collect::<Vec<_>>()
        };
        for directory in [
            "/var/lib/gems",
            "/usr/share/rubygems-integration",
            "/usr/lib/ruby/gems",
            "/usr/local/lib/ruby/gems",
        ] {
            places.extend(versions(directory));
        }
        places.push(PathBuf::from("/usr/local/bundle"));
        // A gem in C is mapped, and tells where the others are.
        let holds_gems = |above: &&Path| root.is_directory(&above.join("specifications"));
        let gems = self.mapped.iter().filter_map(|path| path.ancestors().find(holds_gems));
        places.extend(gems.map(Path::to_owned));
        let has = |place: &PathBuf| {
            let names = root.names(&place.join("specifications"));
            names.iter().any(|name| name.starts_with("aws-sdk-core-"))
        };
        let place = places.into_iter().find(has)?;
        let place = shown(&place.to_string_lossy());
        recognised(Sdk::Ruby, format!("its Ruby finds aws-sdk-core in {place}"))
    }

    fn in_php(&self, root: &Root) -> Option<Recognised> {
        let script = self.script().unwrap_or(Path::new("script"));
        let script = root.absolute(script);
        let mut above =
            script.ancestors().skip(1).map(|above| above.join("vendor/aws/aws-sdk-php"));
        let place = above.find(|place| root.is_directory(place))?;
        recognised(Sdk::Php, format!("its script finds {}", shown(&place.to_string_lossy())))
    }

    fn in_java(&self, root: &Root) -> Option<Recognised> {
        let after = self.arguments.iter().position(|word| word == "-jar");
        let named = after.and_then(|at| self.arguments.get(at + 1)).map(PathBuf::from);
        let archives = named.into_iter().chain(self.open.iter().cloned());
        let archives = archives.filter(|path| path.extension().is_some_and(|name| name == "jar"));
        let mut archives = archives.take(MOST_ARCHIVES);
        let archive = archives.find(|path| find_mark(root, path, JAVA_MARK).is_some())?;
        let archive = shown(&archive.to_string_lossy());
        recognised(Sdk::Java, format!("the SDK's classes are in {archive}"))
    }

    fn by_marks(mut self: Loaded) -> Option<Recognised> {
        let image = self.image.take()?;
        let mark = search(image, LONGEST_IMAGE, &MARKS.map(|(mark, _)| mark))?;
        let (mark, sdk) = MARKS[mark];
        recognised(sdk, format!("'{mark}' stands in its file"))
    }

    /// The first argument that is no option.
    fn script(&self) -> Option<&Path> {
        let mut arguments = self.arguments.iter().skip(1);
        let script = arguments.find(|word| !word.starts_with('-'))?;
        Some(Path::new(script))
    }
}

/// Where a Python below `prefix` keeps its libraries.
fn python_libraries(prefix: &Path, root: &Root) -> Vec<PathBuf> {
    let lib = prefix.join("lib");
    let versions = root.names(&lib).into_iter().filter(|name| name.starts_with("python3"));
    let places = versions
        .flat_map(|name| ["site-packages", "dist-packages"].map(|kind| lib.join(&name).join(kind)));
    let mut places = places.collect::<Vec<_>>();
    // Debian keeps what pip installs apart from its own.
    if prefix == Path::new("/usr") {
        places.extend(python_libraries(Path::new("/usr/local"), root));
    }
    places
}

/// The library directory in which a mapped file lies.
fn library_of(path: &Path) -> Option<PathBuf> {
    let is_library = |above: &&Path| {
        above.file_name().is_some_and(|name| name == "site-packages" || name == "dist-packages")
    };
    path.ancestors().find(is_library).map(Path::to_owned)
}

fn find_mark(root: &Root, path: &Path, mark: &str) -> Option<usize> {
    search(root.open(path).ok()?, LONGEST_SCRIPT, &[mark])
}

/// Which of the marks stands in the file first. They all begin with `a`.
fn search(file: File, longest: u64, marks: &[&str]) -> Option<usize> {
    const PIECE: usize = 1 << 20;
    let overlap = marks.iter().map(|mark| mark.len()).max()?;
    let mut file = file.take(longest);
    let mut bytes = Vec::with_capacity(PIECE + overlap);
    loop {
        let read = file.by_ref().take(PIECE as u64).read_to_end(&mut bytes).ok()?;
        let mut at = 0;
        while let Some(next) = bytes[at..].iter().position(|&byte| byte == b'a') {
            at += next;
            let here = marks.iter().position(|mark| bytes[at..].starts_with(mark.as_bytes()));
            if here.is_some() {
                return here;
            }
            at += 1;
        }
        if read == 0 {
            return None;
        }
        let kept = bytes.len().saturating_sub(overlap);
        bytes.drain(..kept);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    fn place(files: &[&str]) -> TempDir {
        let directory = tempfile::tempdir().unwrap();
        for name in files {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        directory
    }

    fn told(program: Loaded) -> Option<(Sdk, String)> {
        let recognised = recognise(program, &Root::ours().unwrap())?;
        Some((recognised.sdk, recognised.evidence))
    }

    fn sdk(executable: &str, arguments: &[&str]) -> Option<Sdk> {
        let arguments = arguments.iter().map(|word| (*word).to_owned()).collect();
        let executable = Some(executable.into());
        told(Loaded { executable, arguments, ..Loaded::default() }).map(|(sdk, _)| sdk)
    }

    #[test]
    fn libraries_that_are_mapped_tell_it() {
        for (path, expected) in [
            ("/usr/lib/libaws-cpp-sdk-core.so.1", Some(Sdk::Cpp)),
            ("/opt/app/AWSSDK.Core.dll", Some(Sdk::DotNet)),
            ("/usr/local/aws-cli/v2/2.15.0/dist/libpython3.11.so.1.0", Some(Sdk::AwsCli)),
            ("/usr/lib/libcurl.so.4", None),
        ] {
            let program = Loaded { mapped: vec![path.into()], ..Loaded::default() };
            assert_eq!(told(program).map(|(sdk, _)| sdk), expected, "{path}");
        }
    }

    #[test]
    fn a_python_is_asked_where_it_would_look() {
        let venv = place(&["venv/pyvenv.cfg", "venv/lib/python3.11/site-packages/botocore/x"]);
        let python = venv.path().join("venv/bin/python3");
        let called = python.to_str().unwrap();
        assert_eq!(sdk("/usr/bin/python3.11", &[called, "app.py"]), Some(Sdk::Boto3));
        assert_eq!(sdk("/usr/bin/python3.11", &[called, "/usr/bin/aws", "s3"]), Some(Sdk::AwsCli));
        let without = place(&["venv/pyvenv.cfg", "venv/lib/python3.11/site-packages/x"]);
        let python = without.path().join("venv/bin/python3");
        assert_eq!(sdk("/nowhere/bin/python3.11", &[python.to_str().unwrap(), "app.py"]), None);
    }

    #[test]
    fn a_python_that_a_shell_found_is_asked_where_it_stands() {
        let empty = place(&["bin/sh"]);
        let venv = place(&["bin/python3", "pyvenv.cfg", "lib/python3.11/site-packages/botocore/x"]);
        let [first, second] = [&empty, &venv].map(|place| place.path().join("bin"));
        let environment = format!("A=1\0PATH={}:{}\0", first.display(), second.display());
        let program = Loaded {
            executable: Some("/nowhere/bin/python3.11".into()),
            arguments: ["python3", "app.py"].map(str::to_owned).into(),
            ..Loaded::finding_by(environment.as_bytes())
        };
        assert_eq!(told(program).map(|(sdk, _)| sdk), Some(Sdk::Boto3));
    }

    #[test]
    fn a_script_of_node_looks_upwards() {
        let app = place(&["node_modules/@aws-sdk/client-s3/index.js", "src/deep/app.js"]);
        let script = app.path().join("src/deep/app.js");
        let arguments = ["node", "--no-warnings", script.to_str().unwrap()];
        assert_eq!(sdk("/usr/bin/node", &arguments), Some(Sdk::JavaScript));
        let bundle = place(&["app.js"]);
        let script = bundle.path().join("app.js");
        assert_eq!(sdk("/usr/bin/node", &["node", script.to_str().unwrap()]), None);
        fs::write(&script, "require('@aws-sdk/client-s3')").unwrap();
        assert_eq!(
            sdk("/usr/bin/node", &["node", script.to_str().unwrap()]),
            Some(Sdk::JavaScript)
        );
    }

    #[test]
    fn php_and_ruby_are_told_by_what_is_installed() {
        let php = place(&["vendor/aws/aws-sdk-php/x", "public/index.php"]);
        let script = php.path().join("public/index.php");
        assert_eq!(sdk("/usr/bin/php8.2", &["php", script.to_str().unwrap()]), Some(Sdk::Php));
        let gems = place(&["specifications/aws-sdk-core-3.200.0.gemspec"]);
        let program = Loaded {
            executable: Some("/usr/bin/ruby3.1".into()),
            library_paths: vec![gems.path().into()],
            ..Loaded::default()
        };
        assert_eq!(told(program).unwrap().0, Sdk::Ruby);
    }

    #[test]
    fn an_archive_of_java_is_searched_for_the_sdks_classes() {
        let jar = place(&["app.jar"]);
        let path = jar.path().join("app.jar");
        let arguments = ["java", "-Xmx1g", "-jar", path.to_str().unwrap()];
        assert_eq!(sdk("/usr/lib/jvm/bin/java", &arguments), None);
        fs::write(&path, "PK software/amazon/awssdk/auth/credentials/X.class").unwrap();
        assert_eq!(sdk("/usr/lib/jvm/bin/java", &arguments), Some(Sdk::Java));
    }

    #[test]
    fn a_mark_is_found_wherever_it_stands() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("program");
        for before in [0, 1, (1 << 20) - 5, (1 << 20) + 3, 3 << 20] {
            let mut bytes = vec![b'a'; before];
            bytes.extend_from_slice(b"github.com/aws/aws-sdk-go-v2/config");
            fs::write(&path, &bytes).unwrap();
            let image = File::open(&path).ok();
            let (sdk, evidence) = told(Loaded { image, ..Loaded::default() }).unwrap();
            assert_eq!((sdk, evidence.as_str()), (Sdk::Go, "'aws-sdk-go-v2' stands in its file"));
        }
        fs::write(&path, vec![b'a'; 3 << 20]).unwrap();
        assert_eq!(told(Loaded { image: File::open(&path).ok(), ..Loaded::default() }), None);
    }

    #[test]
    fn paths_come_from_their_variables_alone() {
        let block = b"PATH=/bin\0PYTHONPATH=/a:relative:/b\0GEM_HOME=/c\0XPYTHONPATH=/d\0";
        let Loaded { library_paths, search_path, .. } = Loaded::finding_by(block);
        assert_eq!(library_paths, ["/a", "/b", "/c"].map(PathBuf::from));
        assert_eq!(search_path, [PathBuf::from("/bin")]);
    }
}
