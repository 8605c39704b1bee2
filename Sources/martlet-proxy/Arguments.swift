import MeshNet

/// What the command line asks for.
struct Arguments {
    enum Task: Equatable {
        case help
        case version
        case serve
        case check
    }

    /// What is wrong with a command line.
    struct Problem: Error { var text: String }

    var task = Task.serve
    /// The compiled configuration.
    var snapshot = ""
    /// The directory of the proxy's mesh identity; nil: it has none.
    var identity: String?
    /// Event loops; nil: one for each processor.
    var loops: Int?
    /// Where the admin endpoint listens.
    var admin: SocketAddress?

    static let usage = """
        martlet-proxy: the data plane. Serves a configuration that `martlet compile` has written.

        usage: martlet-proxy --snapshot FILE [--identity DIR] [--loops N] [--admin ADDR] [--check]
               martlet-proxy run …         in a mesh: configuration and identity from a control plane
               martlet-proxy identity …    only an identity, for programs that speak for themselves
               martlet-proxy intercept …   sends what an application calls through its proxy
               (run, identity and intercept have a --help of their own)

          --snapshot FILE   the compiled configuration; read again at SIGHUP
          --identity DIR    who the proxy is in its mesh: identity.pem (certificate, then its issuers), identity.key and
                            bundle.pem (every trusted root) in DIR; read again at SIGHUP
          --loops N         event loops, 1 to 256; default: one for each processor
          --admin ADDR      where /live /ready /metrics /config /upstreams /certs and POST /drain are served:
                            IP:PORT or unix:PATH; default: nowhere
          --check           read and verify FILE, serve nothing
          --version         print the version
          --help            print this

        SIGHUP reads FILE again: if it is not valid, that is said and nothing changes. SIGTERM and SIGINT drain and end;
        a second one ends at once. Exit code: 0 ended, 1 requests were cut off at the end, 2 nothing could be started.

        Examples:
          martlet compile mesh-config -o edge.snapshot && martlet-proxy --snapshot edge.snapshot
          martlet-proxy --snapshot edge.snapshot --loops 4 --admin 127.0.0.1:9901
          martlet-proxy --snapshot edge.snapshot --check
        """

    /// Reads `--name value` and `--name=value`.
    init(_ words: [String]) throws(Problem) {
        var rest = words[...]
        while let word = rest.popFirst() {
            let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            let name = parts[0]
            func value(_ what: String) throws(Problem) -> String {
                if parts.count == 2 { return parts[1] }
                guard let next = rest.popFirst() else { throw Problem(text: "\(name) wants \(what)") }
                return next
            }
            switch name {
            case "--help", "-h": task = .help
            case "--version": task = .version
            case "--check": task = .check
            case "--snapshot": snapshot = try value("a file that `martlet compile` has written")
            case "--identity":
                identity = try value("a directory with identity.pem, identity.key and bundle.pem")
            case "--loops":
                let what = "a number from 1 to 256"
                let text = try value(what)
                guard let count = Int(text), (1...256).contains(count) else {
                    throw Problem(text: "--loops wants \(what), not \"\(text)\"")
                }
                loops = count
            case "--admin":
                let text = try value("IP:PORT or unix:PATH")
                guard let address = SocketAddress(text) else {
                    throw Problem(text: "--admin wants IP:PORT or unix:PATH, not \"\(text)\"")
                }
                admin = address
            default: throw Problem(text: "unknown argument \"\(word)\"; see martlet-proxy --help")
            }
            if task == .help || task == .version { return }
        }
        guard !snapshot.isEmpty else { throw Problem(text: "--snapshot FILE is missing; see martlet-proxy --help") }
    }
}
