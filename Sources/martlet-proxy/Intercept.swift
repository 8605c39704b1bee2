import Glibc
import MeshCore
import MeshNet

/// `martlet-proxy intercept`: netfilter rules that send what the processes of a network namespace connect to, to the
/// proxy beside them.
struct Intercept {
    /// Where the proxy takes redirected connections.
    let port: UInt16
    /// Only these ports are redirected; none: all.
    let outboundPorts: [UInt16]
    /// These ports are not.
    let excludedPorts: [UInt16]
    /// Nor these networks.
    let excludedNetworks: [String]
    /// Processes of this user, and of this group, are not redirected: the proxy itself.
    let proxyUser: UInt32?
    let proxyGroup: UInt32?

    /// Rules in a chain of its own are all that is ours: they are replaced at once, and removed without a trace.
    static let chain = "MARTLET_OUTPUT"

    /// One of the two families of addresses.
    enum Family: CaseIterable {
        case ipv4, ipv6

        var program: String { self == .ipv4 ? "iptables" : "ip6tables" }

        /// The machine itself: its services are called directly.
        var loopback: String { self == .ipv4 ? "127.0.0.0/8" : "::1/128" }

        func contains(_ network: String) -> Bool { network.utf8.contains(UInt8(ascii: ":")) == (self == .ipv6) }
    }

    /// One command, and what it reads.
    struct Step: Equatable {
        var command: [String]
        var input = ""
        /// It may fail: the next one is for that case.
        var isQuestion = false
    }

    // MARK: What is done

    /// The rules of the chain, as `iptables-restore` reads them. Whatever the chain had before is gone.
    func rules(_ family: Family) -> String {
        var rules: [String] = []
        if let proxyUser { rules.append("-m owner --uid-owner \(proxyUser) -j RETURN") }
        if let proxyGroup { rules.append("-m owner --gid-owner \(proxyGroup) -j RETURN") }
        rules.append("-o lo -j RETURN")
        rules += ([family.loopback] + excludedNetworks.filter(family.contains)).map { "-d \($0) -j RETURN" }
        rules += excludedPorts.map { "-p tcp --dport \($0) -j RETURN" }
        let target = "-j REDIRECT --to-ports \(port)"
        rules +=
            outboundPorts.isEmpty ? ["-p tcp \(target)"] : outboundPorts.map { "-p tcp --dport \($0) \(target)" }
        let lines = rules.map { "-A \(Self.chain) \($0)" }
        return (["*nat", ":\(Self.chain) - [0:0]"] + lines + ["COMMIT"]).joined(separator: "\n") + "\n"
    }

    private static func jump(_ family: Family, _ verb: String) -> [String] {
        [family.program, "-w", "-t", "nat", verb, "OUTPUT", "-p", "tcp", "-j", chain]
    }

    /// Makes the chain, or fills it anew, and lets connections run into it.
    func setUp(_ family: Family) -> [Step] {
        [
            Step(command: ["\(family.program)-restore", "-w", "--noflush"], input: rules(family)),
            Step(command: Self.jump(family, "-C"), isQuestion: true),
            Step(command: Self.jump(family, "-A")),
        ]
    }

    /// Takes all of it away.
    static func remove(_ family: Family) -> [Step] {
        [
            Step(command: jump(family, "-D"), isQuestion: true),
            Step(command: [family.program, "-w", "-t", "nat", "-F", chain], isQuestion: true),
            Step(command: [family.program, "-w", "-t", "nat", "-X", chain], isQuestion: true),
        ]
    }
}

// MARK: - Doing it

extension Intercept {
    /// The steps as a script that a shell runs with the same effect.
    static func script(_ steps: [Step], isRemoval: Bool) -> String {
        var lines: [String] = []
        var open = false
        for step in steps {
            let text = step.command.joined(separator: " ")
            if !step.input.isEmpty {
                lines.append("\(text) <<END\n\(step.input)END")
            } else if isRemoval {
                lines.append("\(text) 2>/dev/null || true")
            } else if step.isQuestion {
                lines.append("\(text) 2>/dev/null ||")
                open = true
            } else {
                lines.append((open ? "    " : "") + text)
                open = false
            }
        }
        return lines.joined(separator: "\n")
    }

    /// Sets the rules up for both families. True if IPv6 is there.
    func setUp() throws(ProxyError) -> Bool {
        try Self.requireRoot()
        try Self.run(setUp(.ipv4))
        guard try Self.hasIPv6() else { return false }
        try Self.run(setUp(.ipv6))
        return true
    }

    /// Removes the rules of both families; no error if there are none.
    static func remove() throws(ProxyError) {
        try requireRoot()
        for family in try [.ipv4] + (hasIPv6() ? [Family.ipv6] : []) {
            for step in remove(family) { _ = try Program.run(step.command) }
            // What stays is worth a word, what never was is not.
            let left = try Program.run([family.program, "-w", "-t", "nat", "-n", "-L", chain])
            if left.code == 0 { throw ProxyError("the chain \(chain) of \(family.program) cannot be removed") }
        }
    }

    private static func requireRoot() throws(ProxyError) {
        if geteuid() != 0 {
            throw ProxyError(
                "only root can change netfilter rules (CAP_NET_ADMIN); --dry-run prints them without being root")
        }
    }

    /// IPv6 may be missing as a whole, on the machine or in iptables: then nobody connects by it.
    private static func hasIPv6() throws(ProxyError) -> Bool {
        do throws(ProxyError) {
            return try Program.run([Family.ipv6.program, "-w", "-t", "nat", "-n", "-L", "OUTPUT"]).code == 0
        } catch {
            return false
        }
    }

    private static func run(_ steps: [Step]) throws(ProxyError) {
        var isDone = false
        for step in steps {
            if isDone { break }
            let result = try Program.run(step.command, input: step.input)
            if step.isQuestion {
                isDone = result.code == 0
            } else if result.code != 0 {
                let text = result.output.split(separator: "\n").first.map(String.init) ?? "exit code \(result.code)"
                throw ProxyError("\(step.command.joined(separator: " ")): \(text)")
            }
        }
    }
}
