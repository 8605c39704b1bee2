import Foundation
import Glibc
import MeshNet

/// The demo, from the first process to the last; counts what was not as it should be.
final class DemoRun {
    private let site: DemoSite
    private let seconds: Int
    private let stays: Bool
    private let processes: DemoProcesses
    private let traffic: DemoTraffic
    private let martlet: String
    private var control: DemoProcesses.Started?
    private var proxies: [String: DemoProcesses.Started] = [:]
    private var requests = 0
    /// Answers so far, by the language of the cart.
    private var carts: [String: Int] = [:]
    private(set) var failures = 0

    init(_ site: DemoSite, seconds: Int, stays: Bool) throws {
        self.site = site
        self.seconds = seconds
        self.stays = stays
        processes = DemoProcesses(logs: site.logs)
        traffic = DemoTraffic(site.url, services: DemoSite.services)
        martlet = try DemoSite.program("martlet")
    }

    /// Runs all steps; says what went wrong, and ends every process in any case.
    func run() {
        let began = Date()
        printLine(
            """

            Martlet  a mesh of six services in Node, Python and C, two instances of each, everything in mutual TLS

              edge ─▶ web (Node) ─▶ catalog (C)
                                 ─▶ cart (version 1 Python, version 2 Node)
                                 ─▶ checkout (Python) ─▶ orders (Python, gRPC) ─▶ payments (Node)
            """)
        do {
            try start()
            try steps()
            if stays { stay() }
        } catch let failure as Failure {
            fail(failure.message)
        } catch {
            fail("\(error)")
        }
        end()
        let time = String(format: "%.1f s", Date().timeIntervalSince(began))
        printLine(
            failures == 0
                ? "\n\(requests) requests, none failed, all as it should be, in \(time)"
                : "\n\(failures) of the above not as it should be, in \(time)")
    }

    // MARK: Starting

    private func start() throws {
        heading("what runs")
        try site.prepare()
        try startControl()
        try startProxy("gateway", "shop/edge", instance: "edge-1", command: [])
        for instance in site.instances {
            let port = try site.ports.next()
            try startProxy(
                "workload", "shop/\(instance.workload)", instance: instance.name,
                command: instance.command.map { $0 == "PORT" ? "\(port)" : $0 }, port: port)
        }
        let count = site.instances.count + 1
        try waitForProxies(count, within: 60)
        ok("proxies", "1 gateway and \(count - 1) sidecars, joined by one-use tokens, ready", site.url)
    }

    private func startControl() throws {
        let started = try processes.start(
            "control", try DemoSite.program("martlet-control"),
            [
                "serve", "--data", site.data.path, "--listen", "127.0.0.1:\(site.controlPort)", "--api",
                "127.0.0.1:\(site.apiPort)", "--config", site.configuration.path, "--trust-domain", "shop.local",
            ])
        control = started
        try wait(20, "the control plane") {
            let _: Health = try self.fetch("/v1/health")
            return true
        }
        ok("martlet-control", "configuration, registry and certificate authority in one SQLite file", site.api)
    }

    private func startProxy(
        _ kind: String, _ role: String, instance: String, command: [String], port: UInt16? = nil
    ) throws {
        let token = try tool(["token", "create", "--\(kind)", role, "--output", "json"])
        guard let made = try? JSONDecoder().decode(NewToken.self, from: Data(token.utf8)) else {
            throw Failure(message: "martlet token create gave no token: \(token)")
        }
        var arguments = [
            "run", "--control", "127.0.0.1:\(site.controlPort)", "--\(kind)", role, "--instance", instance, "--state",
            site.work.appendingPathComponent("state-\(instance)").path, "--loops", "1", "--admin",
            "127.0.0.1:\(try site.ports.next())",
        ]
        if let port { arguments += ["--port", "80=\(port)", "--outbound", "127.0.0.1:\(try site.ports.next())"] }
        if !command.isEmpty { arguments += ["--"] + command }
        proxies[instance] = try processes.start(
            instance, try DemoSite.program("martlet-proxy"), arguments, environment: ["MARTLET_TOKEN": made.secret])
    }

    // MARK: Steps

    private func steps() throws {
        let done = DispatchSemaphore(value: 0)
        let traffic = traffic
        Task {
            await traffic.run(customers: 8)
            done.signal()
        }
        defer {
            traffic.end()
            done.wait()
            _ = taken("the end")
        }
        heading("what happens to requests, 8 at a time")
        try during("steady", "traffic through the gateway and six services") {}
        try checkHops()
        heading("what happens to requests meanwhile")
        try canary()
        try during("kill -9", "catalog-1 and its sidecar are gone at once") {
            guard let victim = proxies["catalog-1"] else { return }
            processes.kill(victim)
        }
        try during("control plane stopped", "proxies serve on") {
            guard let control else { return }
            guard processes.stop(control), control.process.terminationStatus == 0 else {
                return fail("martlet-control did not end well:\n\(control.tail())")
            }
        }
        try during("control plane started", "proxies are back") {
            try startControl()
            try waitForProxies(site.instances.count)
        }
        try during("catalog-1 again", "the killed instance is back, with the identity that it had") {
            guard let gone = proxies["catalog-1"] else { return }
            proxies["catalog-1"] = try processes.again(gone)
            try waitForProxies(site.instances.count + 1)
        }
        try during("root certificate", "replaced by a new one: all certificates renewed") { try rotateRoot() }
    }

    /// The weights of the file hold; an edit of the file is followed, and version 1 gets nothing more.
    private func canary() throws {
        _ = taken("weights")
        let share = 100 * Double(carts["Node"] ?? 0) / Double(max(carts.values.reduce(0, +), 1))
        let detail = "\(Int(share.rounded())) % to version 2"
        if abs(share - 20) < 8 {
            ok("weights", "of the cart's versions: 20 % go to version 2", detail)
        } else {
            fail("weights: \(detail), not 20 %")
        }
        try site.edit("policies.yaml", "weight: 80}", "weight: 0}")
        try wait(20, "version 2 of the cart to get all") {
            usleep(200_000)
            let carts = self.taken("canary").carts
            return carts["Python"] == nil && carts["Node"] != nil
        }
        sleep(UInt32(seconds))
        let counts = taken("canary")
        if let late = counts.carts["Python"] { fail("canary: \(late) requests for version 1, whose weight is 0") }
        ok("canary", "the file now gives version 2 all: followed", "\(counts.good) requests, 0 failed")
    }

    private func rotateRoot() throws {
        for step in ["begin", "activate", "finish"] {
            try wait(60, "certificates rotate-root \(step)") {
                (try? self.tool(["certificates", "rotate-root", step])) != nil
            }
        }
    }

    /// Does something and lets traffic flow meanwhile and after it; no request may fail.
    private func during(_ name: String, _ what: String, _ action: () throws -> Void) throws {
        try action()
        sleep(UInt32(seconds))
        count(name, what)
    }

    private func count(_ name: String, _ what: String) {
        let counts = taken(name)
        if counts.failed == 0 { ok(name, what, "\(counts.good) requests, 0 failed") }
    }

    /// What has been counted since the last time; says so if requests failed.
    private func taken(_ name: String) -> DemoTraffic.Counts {
        let counts = traffic.take()
        requests += counts.good + counts.failed
        carts.merge(counts.carts, uniquingKeysWith: +)
        if counts.failed > 0 {
            fail("\(name): \(counts.failed) of \(counts.good + counts.failed) requests failed: \(counts.failures)")
        }
        return counts
    }

    /// The table of hops: every one that should be there is, and all of it in mutual TLS.
    private func checkHops() throws {
        try wait(20, "every hop to be reported") {
            let traffic: Traffic = try self.fetch("/v1/traffic")
            return DemoSite.hops.isSubset(of: Set(traffic.hops.map { [$0.source, $0.destination] }))
        }
        heading("who called whom (martlet edges)")
        printLine(try tool(["edges"]).trimmingCharacters(in: .newlines))
        let traffic: Traffic = try fetch("/v1/traffic")
        for hop in traffic.hops where !hop.mtls { fail("\(hop.source) → \(hop.destination) was not in mutual TLS") }
        for hop in traffic.hops where hop.failures > 0 {
            fail("\(hop.source) → \(hop.destination): \(hop.failures) of \(hop.requests) failed")
        }
    }

    /// Until so many proxies are ready and run what they should. That is asked more than once: that an instance is
    /// ready is known a moment before those that call it are told.
    private func waitForProxies(_ count: Int, within seconds: Double = 30) throws {
        var settled = 0
        try wait(seconds, "\(count) proxies to be ready") {
            let known: [ProxyState] = try self.fetch("/v1/proxies")
            let isSettled = known.count { $0.sync == "synced" && $0.readiness == "ready" } == count
            settled = isSettled ? settled + 1 : 0
            return settled == 5
        }
    }

    private func stay() {
        heading("everything stays up until Ctrl-C")
        printLine("  curl \(site.url)/\n  export MARTLET_SERVER=\(site.api)")
        printLine("  martlet proxies\n  martlet edges --watch\n  martlet status")
        // Only now: what is started inherits which signals are held.
        Signals.hold()
        _ = Signals.wait()
    }

    private func end() {
        let left = processes.stopAll()
        if !left.isEmpty { fail("did not end within 15 s: \(left.joined(separator: ", "))") }
        // 143: the application, which the proxy ends with, was ended by SIGTERM.
        let broken = proxies.filter { ![0, 143].contains($0.value.process.terminationStatus) }.keys.sorted()
        if !broken.isEmpty, let first = broken.first, let log = proxies[first]?.tail() {
            fail("ended with an error: \(broken.joined(separator: ", ")); the last of \(first) says:\n\(log)")
        }
    }

    // MARK: Asking

    private struct ProxyState: Decodable { var sync: String, readiness: String }
    private struct Health: Decodable { var isReady: Bool }
    private struct NewToken: Decodable { var secret: String }
    private struct Traffic: Decodable {
        struct Hop: Decodable { var source: String, destination: String, mtls: Bool, requests: Int, failures: Int }
        var hops: [Hop]
    }

    /// Runs a command of this program as anybody would; its output.
    private func tool(_ arguments: [String]) throws -> String {
        let process = Process()
        let (output, errors) = (Pipe(), Pipe())
        process.executableURL = URL(fileURLWithPath: martlet)
        process.arguments =
            arguments + ["--server", site.api, "--token-file", site.data.appendingPathComponent("admin-token").path]
        process.standardOutput = output
        process.standardError = errors
        try process.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        let problem = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            throw Failure(message: "martlet \(arguments.joined(separator: " ")): \(problem.isEmpty ? text : problem)")
        }
        return text
    }

    private func fetch<Value: Decodable>(_ path: String) throws -> Value {
        try ControlClient(base: site.api, token: nil, caFile: nil).get(path)
    }

    /// Asks again and again; throws if it takes longer than `seconds`.
    private func wait(_ seconds: Double, _ what: String, until isTrue: () throws -> Bool) throws {
        let deadline = Date().addingTimeInterval(seconds)
        while Date() < deadline {
            if (try? isTrue()) == true { return }
            if let ended = processes.ended {
                throw Failure(message: "\(ended.name) has ended while this waited for \(what):\n\(ended.tail())")
            }
            usleep(100_000)
        }
        if try isTrue() { return }
        throw Failure(message: "waited \(Int(seconds)) s for \(what)")
    }

    // MARK: Telling

    private func heading(_ text: String) { printLine("\n\(text)") }

    private func ok(_ name: String, _ what: String, _ detail: String) {
        let padded = name.padding(toLength: max(24, name.count + 2), withPad: " ", startingAt: 0)
        printLine(
            "ok      \(padded)\(what.padding(toLength: max(70, what.count + 2), withPad: " ", startingAt: 0))\(detail)")
    }

    private func fail(_ text: String) {
        failures += 1
        printLine("FAILED  \(text)")
    }
}
