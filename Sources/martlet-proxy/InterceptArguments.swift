import MeshCore
import MeshNet

/// What the command line of `martlet-proxy intercept` asks for.
struct InterceptArguments {
    private(set) var isHelp = false
    private(set) var isDryRun = false
    private(set) var removes = false
    private(set) var intercept = Intercept(
        port: 0, outboundPorts: [], excludedPorts: [], excludedNetworks: [], proxyUser: nil, proxyGroup: nil)

    static let usage = """
        martlet-proxy intercept: redirects what the processes of this network namespace connect to, to the proxy beside
        them. Needs root, and iptables.

        usage: martlet-proxy intercept --transparent-port PORT (--proxy-uid UID | --proxy-gid GID) [options]
               martlet-proxy intercept --remove [--dry-run]

          --transparent-port PORT   where the proxy takes redirected connections: `transparent` of its Workload
          --proxy-uid UID           the user that the proxy runs as, who must run nothing else: its connections are not
                                    redirected, or they would come back to it. A number
          --proxy-gid GID           the same by group
          --outbound-ports LIST     redirect only these ports: 80,8080; default: all
          --exclude-ports LIST      do not redirect these
          --exclude-cidrs LIST      do not redirect these networks: 10.0.0.0/8,fd00::/8. Never redirected: the loopback
          --dry-run                 print what would be done, as a shell script, and do nothing
          --remove                  take the rules away again
          --help                    print this

        The rules are in a chain of their own of the table nat, MARTLET_OUTPUT, for IPv4 and, where there is IPv6, for it
        too. Running the command again replaces them at once. They last until the namespace ends, or --remove.
        """

    init(_ words: [String]) throws(Arguments.Problem) {
        var (port, user, group): (UInt16?, UInt32?, UInt32?) = (nil, nil, nil)
        var (outbound, excluded, networks): ([UInt16], [UInt16], [String]) = ([], [], [])
        var rest = words[...]
        while let word = rest.popFirst() {
            let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            let name = parts[0]
            func value(_ what: String) throws(Arguments.Problem) -> String {
                if parts.count == 2 { return parts[1] }
                guard let next = rest.popFirst() else { throw Arguments.Problem(text: "\(name) wants \(what)") }
                return next
            }
            switch name {
            case "--help", "-h":
                isHelp = true
                return
            case "--dry-run": isDryRun = true
            case "--remove": removes = true
            case "--transparent-port": port = try Self.ports(name, value("a port")).first
            case "--outbound-ports": outbound = try Self.ports(name, value("ports, such as 80,8080"))
            case "--exclude-ports": excluded = try Self.ports(name, value("ports, such as 22,5432"))
            case "--exclude-cidrs": networks = try Self.networks(name, value("networks, such as 10.0.0.0/8"))
            case "--proxy-uid": user = try Self.id(name, value("the number of a user"))
            case "--proxy-gid": group = try Self.id(name, value("the number of a group"))
            default:
                throw Arguments.Problem(text: "unknown argument \"\(word)\"; see martlet-proxy intercept --help")
            }
        }
        if removes { return }
        guard let port else {
            throw Arguments.Problem(text: "--transparent-port PORT is missing; see martlet-proxy intercept --help")
        }
        guard user != nil || group != nil else {
            throw Arguments.Problem(
                text: "--proxy-uid UID or --proxy-gid GID is missing: the proxy's own connections would come back to it"
            )
        }
        intercept = Intercept(
            port: port, outboundPorts: outbound, excludedPorts: excluded, excludedNetworks: networks, proxyUser: user,
            proxyGroup: group)
    }

    private static func ports(_ name: String, _ text: String) throws(Arguments.Problem) -> [UInt16] {
        var ports: [UInt16] = []
        for word in text.split(separator: ",", omittingEmptySubsequences: false) {
            guard let port = UInt16(word), port > 0, word.first != "+" else {
                throw Arguments.Problem(text: "\(name) wants ports from 1 to 65535, not \"\(word)\"")
            }
            ports.append(port)
        }
        return ports
    }

    private static func id(_ name: String, _ text: String) throws(Arguments.Problem) -> UInt32 {
        guard let id = UInt32(text), text.first != "+" else {
            throw Arguments.Problem(text: "\(name) wants a number, not \"\(text)\"; `id` tells it")
        }
        return id
    }

    private static func networks(_ name: String, _ text: String) throws(Arguments.Problem) -> [String] {
        var networks: [String] = []
        for word in text.split(separator: ",", omittingEmptySubsequences: false) {
            let parts = word.split(separator: "/", omittingEmptySubsequences: false)
            let address = parts.first.flatMap { SocketAddress(ip: String($0), port: 0) }
            let limit = parts[0].contains(":") ? 128 : 32
            let bits = parts.count == 2 ? UInt8(parts[1]).map(Int.init) : parts.count == 1 ? limit : nil
            guard address != nil, !word.contains("%"), let bits, bits <= limit else {
                throw Arguments.Problem(text: "\(name) wants networks such as 10.0.0.0/8, not \"\(word)\"")
            }
            networks.append("\(parts[0])/\(bits)")
        }
        return networks
    }
}

/// Carries `martlet-proxy intercept` out; returns the exit code.
func intercept(_ words: [String]) throws(Arguments.Problem) -> Int32 {
    let arguments = try InterceptArguments(words)
    if arguments.isHelp {
        say(InterceptArguments.usage, to: 1)
        return 0
    }
    if arguments.isDryRun {
        let steps = Intercept.Family.allCases.flatMap {
            arguments.removes ? Intercept.remove($0) : arguments.intercept.setUp($0)
        }
        say(Intercept.script(steps, isRemoval: arguments.removes), to: 1)
        return 0
    }
    do throws(ProxyError) {
        if arguments.removes {
            try Intercept.remove()
            say("martlet-proxy: nothing is redirected any more", to: 1)
        } else {
            let both = try arguments.intercept.setUp()
            let families = both ? "IPv4 and IPv6" : "IPv4; there is no IPv6 here"
            say("martlet-proxy: connections are redirected to port \(arguments.intercept.port) (\(families))", to: 1)
        }
        return 0
    } catch {
        fail(error.description)
    }
}
