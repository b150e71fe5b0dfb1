//! nginx as a reverse proxy in front of a tracker.

use std::fs::File;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use crate::http::case::Host;
use crate::http::connection::Dial;
use crate::http::tracker::Running;

/// A running nginx, killed on drop.
#[derive(Debug)]
pub struct Nginx(Child);

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Nginx {
    /// Starts nginx in the tracker's namespace, with these directives in `http` and in `stream`, and waits until each of these ways
    /// leads somewhere.
    #[track_caller]
    pub fn start(tracker: &Running, http: &str, stream: &str, ready: &[Dial]) -> Self {
        let directory = tracker.home.path("nginx");
        std::fs::create_dir(&directory).expect("the home is ours");
        let at = directory.display();
        let configuration = format!(
            "load_module /usr/lib/nginx/modules/ngx_stream_module.so;
             daemon off;
             # One process, which is gone when it is killed.
             master_process off;
             pid {at}/nginx.pid;
             error_log {at}/error.log;
             events {{ worker_connections 512; }}
             http {{
                 access_log off;
                 client_body_temp_path {at}/body;
                 proxy_temp_path {at}/proxy;
                 fastcgi_temp_path {at}/fastcgi;
                 uwsgi_temp_path {at}/uwsgi;
                 scgi_temp_path {at}/scgi;
                 {http}
             }}
             stream {{ {stream} }}
             "
        );
        let file = directory.join("nginx.conf");
        std::fs::write(&file, configuration).expect("the directory is ours");
        let namespace = tracker.namespace().expect("nginx has ports of its own in a namespace");
        let log = File::create(directory.join("stderr.log")).expect("the directory is ours");
        let mut command: Command = namespace.command("nginx");
        command.arg("-p").arg(&directory).arg("-c").arg(&file).arg("-e").arg(directory.join("error.log"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let mut nginx = Self(command.spawn().expect("nginx is there"));
        tracker.daemon.eventually("nginx listens", || {
            let said = || std::fs::read_to_string(directory.join("stderr.log")).unwrap_or_default();
            assert!(nginx.0.try_wait().expect("it is our child").is_none(), "nginx: {}", said());
            ready.iter().all(|dial| dial.open().is_ok()).then_some(())
        });
        nginx
    }
}

/// The way of a host to one of nginx's ports.
pub fn through(tracker: &Running, host: Host, port: u16, tls: bool) -> Dial {
    let direct = tracker.dial(host, tls, None);
    Dial { to: SocketAddr::new(direct.to.ip(), port), ..direct }
}
