//! The command line: what can be asked of the binary, and how the options and the file become one configuration.
//!
//! Called by `main`. Options win over the environment, that over the file, the file over the defaults. Tests are below.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};

use crate::config::{AccessMode, Config, Layers, XdpAnswer, XdpMode, within_chroot};
use crate::import::From;

/// A BitTorrent tracker that answers UDP inside the kernel, HTTP and HTTPS beside it.
#[derive(Debug, Parser)]
#[command(name = "tracker-user", version, args_conflicts_with_subcommands = false)]
#[command(
    after_help = "Start:   sudo tracker-user --iface eth0\nStop:    Ctrl-C or SIGTERM\nReload lists, certificate and log level: SIGHUP or SIGUSR1"
)]
pub struct Cli {
    /// Attach the XDP program to this interface; may be given several times
    #[arg(long, value_name = "INTERFACE")]
    pub iface: Vec<String>,

    /// How to attach: auto (native, else generic, else sockets alone), native, generic or off
    #[arg(long, value_name = "MODE")]
    pub xdp: Option<XdpMode>,

    /// What the XDP program answers by itself: all, or connect (sockets the rest)
    #[arg(long, value_name = "WHAT")]
    pub xdp_answer: Option<XdpAnswer>,

    /// Configuration file; without it the defaults that `config print` shows
    #[arg(short, long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,

    /// Set a key of the configuration, such as udp.workers_per_address=4; may be given several times
    #[arg(long, value_name = "KEY=VALUE", global = true)]
    pub set: Vec<String>,

    /// Print the configuration with a comment on every key, and exit
    #[arg(short, long)]
    pub print: bool,

    /// Directory for what has to survive a restart
    #[arg(long, value_name = "DIRECTORY")]
    pub state_directory: Option<PathBuf>,

    /// Path of the control socket
    #[arg(long, value_name = "PATH", global = true)]
    pub control: Option<PathBuf>,

    /// What to do; nothing: run the tracker
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What the binary can do besides being the tracker.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print or check a configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Ask and change a running tracker
    #[command(subcommand)]
    Map(MapCommand),
    /// Look at this machine: what is in the way of the tracker, and what could be better
    Doctor(DoctorArgs),
    /// Certificates for HTTPS
    #[command(subcommand)]
    Tls(TlsCommand),
    /// Print what is generated from the code
    #[command(subcommand, hide = true)]
    Generate(GenerateCommand),
}

/// `tracker-user doctor`.
#[derive(Debug, Args)]
#[command(after_help = "Exit status: 0 all is well, 3 there is advice, 1 something won't work")]
pub struct DoctorArgs {
    /// Interface for the XDP program; may be given several times; none: those of the configuration
    #[arg(long, value_name = "INTERFACE")]
    pub iface: Vec<String>,
    /// Print JSON instead of lines
    #[arg(long)]
    pub json: bool,
}

/// `tracker-user tls …`.
#[derive(Debug, Subcommand)]
pub enum TlsCommand {
    /// Make a certificate for trying HTTPS out, with its key, and say how to configure it
    SelfSigned {
        /// Where to put both; files that are there are left alone, and it is an error
        #[arg(value_name = "DIR")]
        directory: PathBuf,
        /// Host names and addresses that clients use; none: this machine's name, localhost, 127.0.0.1 and ::1
        #[arg(value_name = "NAME")]
        names: Vec<String>,
    },
}

/// `tracker-user config …`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print the configuration with a comment on every key
    Print,
    /// Translate another tracker's configuration: ours on stdout, with what can't be translated in comments
    Import {
        /// Whose it is: aquatic (any of its three) or opentracker
        #[arg(value_name = "TRACKER")]
        from: From,
        /// Its file
        file: PathBuf,
    },
    /// Check a file: unknown keys and bad values are named with their line, all of them
    Check {
        /// The file to check
        file: PathBuf,
    },
}

/// `tracker-user generate …`, for those who build the tracker.
#[derive(Debug, Subcommand)]
pub enum GenerateCommand {
    /// Print docs/configuration.md
    Configuration,
    /// Write a manual page for each verb
    Man {
        /// An existing directory
        directory: PathBuf,
    },
    /// Print the completions for a shell
    Completions {
        /// Which one
        shell: clap_complete::Shell,
    },
}

/// `tracker-user map …`.
#[derive(Debug, Subcommand)]
pub enum MapCommand {
    /// The list of allowed or denied torrents; also while no tracker runs
    #[command(subcommand)]
    Access(AccessCommand),
    /// The list of networks that get no answer; also while no tracker runs
    #[command(subcommand)]
    Block(BlockCommand),
    /// Print or set what one source may send a second: `map limit connects 1000 announces off`
    Limit(LimitArgs),
    /// What was answered, passed and dropped, and the size of the swarm
    Stats(StatsArgs),
    /// What the swarm table knows of a torrent
    Torrent {
        /// Its info hash (40 or 64 hexadecimal digits)
        #[arg(value_name = "HASH")]
        hash: String,
        /// Print JSON instead of a table
        #[arg(long)]
        json: bool,
    },
    /// The torrents with most peers
    Top {
        /// How many, 1 to 10000
        #[arg(short = 'n', long, value_name = "NUMBER", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        torrents: u32,
        /// Print JSON instead of a table
        #[arg(long)]
        json: bool,
    },
}

/// What `map limit` sets.
#[derive(Debug, Args)]
pub struct LimitArgs {
    /// connects, bad_ids or announces, each followed by a number or off; nothing: print the limits
    #[arg(value_name = "NAME LIMIT")]
    pub changes: Vec<String>,
}

/// How `map stats` prints.
#[derive(Debug, Args)]
pub struct StatsArgs {
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
    /// Print what changes each second again and again, or every so many seconds, until Ctrl-C; with --json one object a line
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "1", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub watch: Option<u32>,
}

/// `tracker-user map access …`.
#[derive(Debug, Subcommand)]
pub enum AccessCommand {
    /// Add info hashes (40 or 64 hexadecimal digits)
    Add {
        /// The info hashes; - reads them from standard input, one a line
        #[arg(required = true, value_name = "HASH")]
        hashes: Vec<String>,
    },
    /// Remove info hashes
    Remove {
        /// The info hashes; - reads them from standard input, one a line
        #[arg(required = true, value_name = "HASH")]
        hashes: Vec<String>,
    },
    /// Print the listed info hashes
    List,
    /// Print how many are listed
    Count,
    /// Replace the list by the hashes of a file, all at once
    Load {
        /// One info hash a line; blank lines and # comments are ignored; - reads standard input
        file: PathBuf,
    },
    /// Remove all info hashes
    Clear,
    /// Print or set what the list means
    Mode {
        /// off, deny or allow; nothing: print the mode
        mode: Option<AccessMode>,
    },
}

/// `tracker-user map block …`.
#[derive(Debug, Subcommand)]
pub enum BlockCommand {
    /// Block addresses or networks, such as 192.0.2.0/24 or 2001:db8::/32
    Add {
        /// The networks; - reads them from standard input, one a line
        #[arg(required = true, value_name = "CIDR")]
        networks: Vec<String>,
    },
    /// Take networks off the list; they have to be named as they were added
    Remove {
        /// The networks; - reads them from standard input, one a line
        #[arg(required = true, value_name = "CIDR")]
        networks: Vec<String>,
    },
    /// Print the blocked networks
    List,
    /// Print how many are blocked
    Count,
    /// Replace the list by the networks of a file
    Load {
        /// One network a line; blank lines and # comments are ignored; - reads standard input
        file: PathBuf,
    },
    /// Block nobody any more
    Clear,
}

impl Cli {
    /// The configuration that these arguments and their file make.
    pub fn configuration(&self) -> anyhow::Result<Config> {
        self.configuration_at(self.config.as_deref())
    }

    /// The configuration as it is now, for a tracker that has changed its root directory.
    ///
    /// # Errors
    ///
    /// Those of [`Self::configuration`]; the file isn't below the chroot.
    pub fn configuration_inside(&self, chroot: Option<&Path>) -> anyhow::Result<Config> {
        let Some(chroot) = chroot else { return self.configuration() };
        let file = self.config.as_deref().map(|file| within_chroot(file, chroot));
        let config = self.configuration_at(file.as_deref());
        Ok(config.with_context(|| format!("inside of {}", chroot.display()))?.inside_chroot())
    }

    fn configuration_at(&self, file: Option<&Path>) -> anyhow::Result<Config> {
        let (mut config, unknown) = Config::layered(file, &Layers::of_process(&self.set))?;
        for warning in unknown {
            // The log's level and format are part of what is read here.
            eprintln!("tracker-user: warning: {warning}");
        }
        if !self.iface.is_empty() {
            config.xdp.interfaces.clone_from(&self.iface);
        }
        if let Some(mode) = self.xdp {
            config.xdp.mode = mode;
        }
        if let Some(answer) = self.xdp_answer {
            config.xdp.answer = answer;
        }
        if let Some(path) = &self.state_directory {
            config.state_directory.clone_from(path);
        }
        if let Some(path) = &self.control {
            config.control.socket.clone_from(path);
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Cli {
        Cli::try_parse_from(line.split_whitespace()).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    #[test]
    fn interfaces_may_be_repeated_and_options_win_over_the_defaults() {
        let cli = parse(
            "tracker-user --iface eth0 --iface eth1 --xdp generic --xdp-answer connect --state-directory /s --control /c",
        );
        let config = cli.configuration().expect("the defaults are valid");
        assert_eq!(config.xdp.interfaces, ["eth0", "eth1"]);
        assert_eq!(config.xdp.mode, XdpMode::Generic);
        assert_eq!(config.xdp.answer, XdpAnswer::Connect);
        assert_eq!(config.state_directory, PathBuf::from("/s"));
        assert_eq!(config.control.socket, PathBuf::from("/c"));
    }

    #[test]
    fn options_win_over_the_file() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("tracker.toml");
        std::fs::write(&file, "[xdp]\ninterfaces = [\"eth7\"]\nmode = \"native\"\n")
            .expect("it can be written");
        let cli = parse(&format!("tracker-user -c {} --xdp off", file.display()));
        let config = cli.configuration().expect("the file is valid");
        assert_eq!((config.xdp.interfaces, config.xdp.mode), (vec!["eth7".to_owned()], XdpMode::Off));
    }

    #[test]
    fn map_verbs_parse_with_the_socket_before_or_after() {
        let cli = parse("tracker-user map access add aa bb --control /c");
        assert_eq!(cli.control, Some(PathBuf::from("/c")));
        assert!(
            matches!(cli.command, Some(Command::Map(MapCommand::Access(AccessCommand::Add { hashes }))) if hashes == ["aa", "bb"])
        );
        let cli = parse("tracker-user --control /c map access mode whitelist");
        assert!(matches!(
            cli.command,
            Some(Command::Map(MapCommand::Access(AccessCommand::Mode { mode: Some(AccessMode::Allow) })))
        ));
        let cli = parse("tracker-user map stats --json -c x.toml");
        assert!(matches!(
            cli.command,
            Some(Command::Map(MapCommand::Stats(StatsArgs { json: true, watch: None })))
        ));
    }

    #[test]
    fn watching_has_an_interval_of_its_own_or_a_second() {
        for (line, wanted) in [("--watch", 1), ("--watch 5", 5), ("--watch --json", 1)] {
            let cli = parse(&format!("tracker-user map stats {line}"));
            let Some(Command::Map(MapCommand::Stats(arguments))) = cli.command else { panic!("{line}") };
            assert_eq!(arguments.watch, Some(wanted), "{line}");
        }
    }

    #[test]
    fn bad_mode_is_refused_with_the_known_ones() {
        let error =
            Cli::try_parse_from(["tracker-user", "--xdp", "fast"]).expect_err("no such mode").to_string();
        assert!(error.contains("`fast` is none of: auto, native, generic, off"), "{error}");
        assert!(Cli::try_parse_from(["tracker-user", "map", "access", "add"]).is_err());
    }

    #[test]
    fn definition_is_consistent() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }
}
