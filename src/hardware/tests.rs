//! Machines made of files, and this one.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::process::Command;

use tempfile::TempDir;

use super::*;

/// A root directory, and what its kernel would answer.
struct Machine {
    root: TempDir,
    kernel: FakeKernel,
}

#[derive(Debug, Clone)]
struct FakeKernel {
    hostname: Result<String, String>,
    addresses: Result<Vec<(String, IpAddr)>, String>,
    memory: Result<u64, String>,
}

impl Kernel for FakeKernel {
    fn hostname(&self) -> Result<String, String> {
        self.hostname.clone()
    }

    fn addresses(&self) -> Result<Vec<(String, IpAddr)>, String> {
        self.addresses.clone()
    }

    fn memory(&self) -> Result<u64, String> {
        self.memory.clone()
    }
}

impl Machine {
    /// Processors, memory, a machine-id and a name; neither SMBIOS, nor disks, nor interfaces.
    fn bare() -> Self {
        let machine = Self {
            root: tempfile::tempdir().unwrap(),
            kernel: FakeKernel {
                hostname: Ok("web-1.example.com".into()),
                addresses: Ok(vec![("lo".into(), Ipv4Addr::LOCALHOST.into())]),
                memory: Ok(8_191_815_680),
            },
        };
        machine
            .file("etc/machine-id", "0123456789abcdef0123456789abcdef\n")
            .file("proc/cpuinfo", CPUINFO)
            .file("sys/devices/system/cpu/present", "0-31\n")
            .file("sys/class/net/bonding_masters", "\n")
            .link("sys/class/net/lo", "../../devices/virtual/net/lo")
            .file("sys/devices/virtual/net/lo/type", "772\n");
        machine
    }

    /// A server: two bonded cards, a VLAN and containers above them, disks of every kind.
    fn server() -> Self {
        let mut machine = Self::bare();
        machine.kernel.addresses = Ok(addresses(&[
            ("lo", [127, 0, 0, 1]),
            ("bond0.10:1", [10, 0, 0, 9]),
            ("bond0.10", [10, 0, 0, 5]),
            ("bond0", [169, 254, 3, 3]),
            ("docker0", [172, 17, 0, 1]),
            ("flannel.1", [10, 244, 0, 0]),
            ("tun0", [10, 8, 0, 2]),
            ("eno3", [192, 0, 2, 7]),
        ]));
        machine.firmware().memory_blocks(4).interfaces().disks();
        machine
    }

    fn firmware(&self) -> &Self {
        for (field, value) in [
            ("bios_date", "03/14/2025"),
            ("bios_release", "2.5"),
            ("bios_vendor", "Example Firmware"),
            ("bios_version", "2.5.1"),
            ("board_vendor", "Example Inc."),
            ("chassis_type", "23"),
            ("product_family", ""),
            ("product_name", "Server 9"),
            ("product_serial", "SECRET-SERIAL"),
            ("sys_vendor", "Example Inc."),
        ] {
            self.file(&format!("sys/class/dmi/id/{field}"), &format!("{value}\n"));
        }
        self
    }

    fn memory_blocks(&self, count: usize) -> &Self {
        self.file("sys/devices/system/memory/block_size_bytes", "80000000\n");
        self.file("sys/devices/system/memory/auto_online_blocks", "online\n");
        for block in 0..count {
            self.file(&format!("sys/devices/system/memory/memory{block}/state"), "online\n");
        }
        self
    }

    fn interfaces(&self) -> &Self {
        let bond = "02:00:00:00:00:11";
        self.card("eno1", bond)
            .file("sys/class/net/eno1/bonding_slave/perm_hwaddr", "02:00:00:00:00:11\n")
            .card("eno2", bond)
            .file("sys/class/net/eno2/bonding_slave/perm_hwaddr", "02:00:00:00:00:AA\n")
            .card("eno3", "02:00:00:00:00:03")
            .card("eno4", "0e:11:22:33:44:55")
            .file("sys/class/net/eno4/addr_assign_type", "1\n")
            .card("eno3v0", "02:00:00:00:0f:01")
            .file("sys/class/net/eno3v0/device/physfn/vendor", "0x8086\n")
            .card("ib0", "00:00:00:00:fe:80")
            .file("sys/class/net/ib0/type", "32\n")
            .software("bond0", "DEVTYPE=bond\nINTERFACE=bond0", &["eno1", "eno2"])
            .software("bond0.10", "DEVTYPE=vlan", &["bond0"])
            .software("docker0", "DEVTYPE=bridge", &["veth1"])
            .software("veth1", "INTERFACE=veth1", &[])
            .software("flannel.1", "DEVTYPE=vxlan", &["eno3"])
            .software("tun0", "INTERFACE=tun0", &[])
            .software("ifb0", "INTERFACE=ifb0", &[])
    }

    fn disks(&self) -> &Self {
        self.disk("sda", "pci0000:00/0000:00:17.0/ata1/host0", 4_000_000)
            .file("sys/block/sda/device/wwid", "naa.5000000000000001\n")
            .file("sys/block/sda/device/model", "DISK\n")
            .partition("sda", 2, 4096, 3_000_000)
            .partition("sda", 1, 2048, 2048)
            .disk("sdb", "pci0000:00/0000:00:18.0/ata1/host1", 4_000_000)
            .file("sys/block/sdb/device/wwid", "naa.5000000000000001\n")
            .partition("sdb", 1, 2048, 2048)
            .partition("sdb", 2, 4096, 3_000_000)
            .disk("nvme0n1", "virtual/nvme-subsystem/nvme-subsys0", 9_000_000)
            .file("sys/block/nvme0n1/wwid", "eui.0025388b01d0b5a5\n")
            .disk("nvme0c0n1", "pci0000:00/0000:01:00.0/nvme/nvme0", 9_000_000)
            .file("sys/block/nvme0c0n1/hidden", "1\n")
            .disk("sdc", "pci0000:00/0000:00:14.0/usb1/1-1/host2", 1_000_000)
            .disk("sdd", "platform/host3/session1/target3:0:0", 1_000_000)
            .disk("sr0", "pci0000:00/0000:00:17.0/ata2/host4", 1_000_000)
            .file("sys/block/sr0/removable", "1\n")
            .disk("loop0", "virtual", 1_000_000)
            .disk("dm-0", "virtual", 1_000_000)
            .disk("mmcblk0", "pci0000:00/mmc_host", 0)
    }

    fn card(&self, name: &str, address: &str) -> &Self {
        self.file(&format!("sys/class/net/{name}/type"), "1\n")
            .file(&format!("sys/class/net/{name}/addr_assign_type"), "0\n")
            .file(&format!("sys/class/net/{name}/address"), &format!("{address}\n"))
            .file(&format!("sys/class/net/{name}/device/vendor"), "0x8086\n")
    }

    fn software(&self, name: &str, description: &str, lower: &[&str]) -> &Self {
        self.file(&format!("sys/class/net/{name}/type"), "1\n")
            .file(&format!("sys/class/net/{name}/address"), "02:42:00:00:00:01\n")
            .file(&format!("sys/class/net/{name}/uevent"), &format!("{description}\n"));
        for below in lower {
            self.link(&format!("sys/class/net/{name}/lower_{below}"), &format!("../{below}"));
        }
        self
    }

    fn disk(&self, name: &str, place: &str, sectors: u64) -> &Self {
        self.link(&format!("sys/block/{name}"), &format!("../devices/{place}/block/{name}"))
            .file(&format!("sys/devices/{place}/block/{name}/size"), &format!("{sectors}\n"))
            .file(&format!("sys/devices/{place}/block/{name}/removable"), "0\n")
    }

    fn partition(&self, disk: &str, number: u64, start: u64, size: u64) -> &Self {
        let path = format!("sys/block/{disk}/{disk}{number}");
        self.file(&format!("{path}/partition"), &format!("{number}\n"))
            .file(&format!("{path}/start"), &format!("{start}\n"))
            .file(&format!("{path}/size"), &format!("{size}\n"))
    }

    fn file(&self, path: &str, text: &str) -> &Self {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn link(&self, path: &str, aim: &str) -> &Self {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(aim, path).unwrap();
        self
    }

    /// What is seen with a directory in the file's place: reading it fails, for root too.
    fn observe_without(&self, path: &str) -> Observation {
        let path = self.root.path().join(path);
        let text = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let observation = self.observe();
        fs::remove_dir(&path).unwrap();
        fs::write(&path, text).unwrap();
        observation
    }

    fn remove(&self, path: &str) -> &Self {
        fs::remove_dir_all(self.root.path().join(path)).unwrap();
        self
    }

    fn observe(&self) -> Observation {
        SystemProbe::with(self.root.path(), Arc::new(self.kernel.clone())).observe()
    }
}

const CPUINFO: &str = "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 143\n\
model name\t: Intel(R) Xeon(R) Gold 6430\nstepping\t: 8\nmicrocode\t: 0x2b000603\n\
cpu MHz\t\t: 2100.000\n\nprocessor\t: 1\nvendor_id\t: GenuineIntel\ncpu MHz\t\t: 3400.000\n";

fn addresses(all: &[(&str, [u8; 4])]) -> Vec<(String, IpAddr)> {
    all.iter().map(|(name, octets)| ((*name).to_owned(), IpAddr::from(*octets))).collect()
}

fn unknown(observation: &Observation) -> Vec<Attribute> {
    observation.unreadable().map(|(attribute, _)| attribute).collect()
}

fn absent(observation: &Observation) -> Vec<Attribute> {
    let absent = observation.iter().filter(|(_, reading)| **reading == Reading::Absent);
    absent.map(|(attribute, _)| attribute).collect()
}

/// The hashed texts: a change of one is a mismatch on every registered machine.
#[test]
fn a_server_is_known_by_what_stays() {
    let observation = Machine::server().observe();
    let expected = [
        (
            Attribute::Bios,
            "bios_date=03/14/2025\nbios_release=2.5\nbios_vendor=Example Firmware\n\
             bios_version=2.5.1\n",
            "Example Firmware 2.5.1 03/14/2025",
        ),
        (
            Attribute::Disk,
            "disk 4000000 naa.5000000000000001\npartition 1 2048 2048\n\
             partition 2 4096 3000000\ndisk 9000000 eui.0025388b01d0b5a5\n",
            "2 disks: 2.0 GB, 4.6 GB",
        ),
        (Attribute::Hostname, "web-1.example.com\n", "web-1.example.com"),
        (Attribute::IpAddress, "10.0.0.5\n10.0.0.9\n192.0.2.7\n", "10.0.0.5, 10.0.0.9, 192.0.2.7"),
        (
            Attribute::MacAddress,
            "02:00:00:00:00:03\n02:00:00:00:00:11\n02:00:00:00:00:aa\n",
            "02:00:00:00:00:03, 02:00:00:00:00:11, 02:00:00:00:00:aa",
        ),
        (Attribute::MachineId, "0123456789abcdef0123456789abcdef\n", "01234567…"),
        (Attribute::Memory, "bytes=8589934592\n", "8192 MiB"),
        (
            Attribute::Processor,
            "count=32\nvendor_id=GenuineIntel\ncpu family=6\nmodel=143\n\
             model name=Intel(R) Xeon(R) Gold 6430\nstepping=8\n",
            "32 x Intel(R) Xeon(R) Gold 6430",
        ),
        (
            Attribute::System,
            "board_vendor=Example Inc.\nchassis_type=23\nproduct_name=Server 9\n\
             sys_vendor=Example Inc.\n",
            "Example Inc. Server 9",
        ),
    ];
    for (attribute, canonical, shown) in expected {
        assert_eq!(observation.get(attribute), &Reading::of(attribute, canonical, shown));
    }
}

#[test]
fn names_that_the_kernel_gives_and_what_software_makes_change_nothing() {
    let before = Machine::server().observe();
    let mut later = Machine::server();
    let kept = later.kernel.addresses.clone().unwrap();
    later.kernel.addresses = Ok(kept
        .into_iter()
        .rev()
        .chain(addresses(&[("br-4af1", [172, 18, 0, 1]), ("loop", [127, 0, 0, 2])]))
        .collect());
    later
        .software("br-4af1", "DEVTYPE=bridge", &["veth7"])
        .software("veth7", "INTERFACE=veth7", &[])
        .disk("loop1", "virtual", 77)
        .disk("sde", "pci0000:00/0000:00:14.0/usb2/2-1/host9", 5)
        .file("proc/cpuinfo", &CPUINFO.replace("2100.000", "800.001").replace("603", "604"));
    let block = later.root.path().join("sys/block");
    fs::rename(block.join("nvme0n1"), block.join("nvme7n1")).unwrap();
    fs::rename(block.join("sda"), block.join("zz")).unwrap();
    assert_eq!(later.observe(), before);
}

#[test]
fn a_new_disk_a_new_partition_and_another_size_are_seen() {
    let machine = Machine::server();
    let disks = || machine.observe().get(Attribute::Disk).clone();
    let mut seen = vec![disks()];
    machine.disk("vda", "pci0000:00/0000:00:02.0/virtio1", 10);
    seen.push(disks());
    machine.partition("nvme0n1", 1, 2048, 10);
    seen.push(disks());
    machine.file("sys/block/nvme0n1/size", "9000001\n");
    seen.push(disks());
    assert!(seen.windows(2).all(|pair| pair[0].hash() != pair[1].hash()), "{seen:?}");
}

#[test]
fn a_virtual_machine_without_smbios_has_none() {
    let mut machine = Machine::bare();
    machine.kernel.addresses = Ok(addresses(&[("eth0", [192, 0, 2, 2])]));
    machine
        .memory_blocks(1)
        .card("eth0", "02:fc:00:00:00:01")
        .disk("vda", "pci0000:00/0000:00:02.0/virtio1", 8)
        .file("sys/block/vda/serial", "volume-1");
    let observation = machine.observe();
    assert_eq!(absent(&observation), [Attribute::Bios, Attribute::System]);
    assert_eq!(unknown(&observation), []);
}

#[test]
fn a_container_without_cards_and_disks_has_none() {
    let mut machine = Machine::bare();
    machine.kernel.addresses = Ok(addresses(&[("eth0", [172, 17, 0, 2])]));
    machine.software("eth0", "INTERFACE=eth0", &[]);
    let observation = machine.observe();
    use Attribute::*;
    assert_eq!(absent(&observation), [Bios, Disk, IpAddress, MacAddress, System]);
    assert_eq!(unknown(&observation), []);
    let memory = Reading::of(Memory, "bytes=8589934592\n", "8192 MiB");
    assert_eq!(observation.get(Memory), &memory);
}

#[test]
fn what_cannot_be_read_is_unknown_and_nothing_else_is() {
    let machine = Machine::server();
    for (path, attribute) in [
        ("sys/class/dmi/id/bios_release", Attribute::Bios),
        ("sys/block/sda/device/wwid", Attribute::Disk),
        ("sys/block/sda/size", Attribute::Disk),
        ("sys/class/net/bond0/uevent", Attribute::IpAddress),
        ("sys/class/net/eno3/address", Attribute::MacAddress),
        ("sys/class/net/eno2/bonding_slave/perm_hwaddr", Attribute::MacAddress),
        ("etc/machine-id", Attribute::MachineId),
        ("sys/devices/system/memory/block_size_bytes", Attribute::Memory),
        ("proc/cpuinfo", Attribute::Processor),
        ("sys/devices/system/cpu/present", Attribute::Processor),
        ("sys/class/dmi/id/sys_vendor", Attribute::System),
    ] {
        let observation = machine.observe_without(path);
        let unreadable = observation.unreadable().collect::<Vec<_>>();
        let reason = format!("/{path}: Is a directory (os error 21)");
        assert_eq!(unreadable, [(attribute, reason.as_str())]);
        assert_eq!(absent(&observation), [], "{path}");
    }
    assert_eq!(unknown(&machine.observe()), []);
}

#[test]
fn without_sysfs_nothing_is_said_to_be_missing() {
    let machine = Machine::server();
    machine.remove("sys");
    let observation = machine.observe();
    use Attribute::*;
    assert_eq!(unknown(&observation), [Bios, Disk, IpAddress, MacAddress, Memory, System]);
    assert_eq!(absent(&observation), []);
}

#[test]
fn a_restricted_proc_hides_the_processor_and_does_not_zero_it() {
    let mut machine = Machine::bare();
    machine.remove("proc");
    machine.kernel.memory = Err("/proc/meminfo is hidden".into());
    let observation = machine.observe();
    assert_eq!(unknown(&observation), [Attribute::Memory, Attribute::Processor]);
}

#[test]
fn a_kernel_that_does_not_answer_is_quoted() {
    let mut machine = Machine::server();
    machine.kernel.addresses = Err("EAFNOSUPPORT: not allowed".into());
    machine.kernel.hostname = Err("EPERM".into());
    let observation = machine.observe();
    assert_eq!(
        observation.unreadable().collect::<Vec<_>>(),
        [
            (Attribute::Hostname, "gethostname: EPERM"),
            (Attribute::IpAddress, "getifaddrs: EAFNOSUPPORT: not allowed"),
        ]
    );
}

#[test]
fn an_altered_machine_differs_where_it_was_told_to() {
    let machine = Machine::server();
    let real = Arc::new(SystemProbe::with(machine.root.path(), Arc::new(machine.kernel.clone())));
    let clone = AlteredProbe::new(real.clone(), "a clone", &[Attribute::MachineId]);
    let (before, after) = (real.observe(), clone.observe());
    for attribute in Attribute::ALL {
        let same = before.get(attribute) == after.get(attribute);
        assert_eq!(same, attribute != Attribute::MachineId, "{attribute}");
    }
}

/// Where the other process prints its observation: at the beginning of a line.
const MARK: &str = "observed: ";
const NOBODY: u32 = 65534;

#[test]
#[ignore = "the other process of root_and_nobody_see_the_same_machine"]
fn prints_what_this_process_sees() {
    let observation = SystemProbe::new().observe();
    assert!(!observation.hash().is_empty());
    println!("\n{MARK}{observation:?}");
}

/// As root, the other process is nobody's; as an ordinary user, it is that user's.
#[test]
fn root_and_nobody_see_the_same_machine() {
    let seen = SystemProbe::new().observe();
    let elsewhere = observe_in_another_process().unwrap();
    assert_eq!(elsewhere, format!("{seen:?}"));
}

/// Runs this test binary through an open descriptor, since another user may not be allowed to walk
/// to its path. Changing the user also drops all groups and capabilities.
fn observe_in_another_process() -> io::Result<String> {
    let binary = fs::File::open(std::env::current_exe()?)?;
    let mut command = Command::new("/proc/self/fd/0");
    command.stdin(binary).current_dir("/").args([
        "--exact",
        "hardware::tests::prints_what_this_process_sees",
        "--ignored",
        "--nocapture",
    ]);
    if nix::unistd::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .find_map(|line| line.strip_prefix(MARK))
        .map(str::to_owned)
        .ok_or_else(|| io::Error::other(format!("{}: {text}", output.status)))
}
