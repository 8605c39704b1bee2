import Glibc
import MeshCore
import MeshModel
import MeshNet
import MeshProxy

/// Writes one line at once, also into a pipe.
func say(_ text: String, to descriptor: Int32 = 2) {
    let line = Array((text + "\n").utf8)
    // SAFETY: the bytes are read during the call only. What cannot be written has nowhere else to go.
    _ = unsafe line.withUnsafeBytes { unsafe write(descriptor, $0.baseAddress, $0.count) }
}

/// Ends the process with one line that says what is wrong.
func fail(_ message: String) -> Never {
    say("martlet-proxy: \(message)")
    exit(2)
}

/// The model that `arguments` name, verified.
func load(_ arguments: Arguments) throws(ProxyError) -> Model {
    let bytes = try FileContents.read(arguments.snapshot, limit: 1 << 30)
    var model: Model
    do throws(ProxyError) {
        model = try Model.decode(bytes)
    } catch {
        throw ProxyError("\(arguments.snapshot): \(error)")
    }
    if let directory = arguments.identity { model.identity = try MeshIdentity(directory: directory) }
    return model
}

/// `REVISION: 2 listeners, 10 backends`.
func summary(_ model: Model) -> String {
    func count(_ number: Int, _ noun: String) -> String { "\(number) \(noun)\(number == 1 ? "" : "s")" }
    let listeners = count(model.listeners.count, "listener")
    return "configuration \(model.revision): \(listeners), \(count(model.backends.count, "backend"))"
}

/// Serves until a signal ends it; returns the exit code.
func serve(_ arguments: Arguments) throws(ProxyError) -> Int32 {
    Signals.hold()
    var model = try load(arguments)
    let loops = arguments.loops ?? ThisProcess.processorCount()
    // Per loop two sockets for each listener (IPv6 and IPv4), and a handful of its own.
    try ProcessLimits.requireDescriptors(loops * (2 * model.listeners.count + 8))
    let proxy = try Proxy(model, ProxyOptions(loops: loops, admin: arguments.admin))
    say("martlet-proxy: serving at \(proxy.addresses.map(\.description).joined(separator: ", ")), \(summary(model))")
    ThisProcess.releaseStartupPages()
    while true {
        guard Signals.wait() == SIGHUP else { break }
        do throws(ProxyError) {
            let new = try load(arguments)
            guard new != model else {
                say("martlet-proxy: configuration unchanged")
                continue
            }
            try proxy.publish(new)
            model = new
            say("martlet-proxy: adopted \(summary(model))")
        } catch {
            proxy.noteRejection()
            say("martlet-proxy: \(error); nothing is changed")
        }
    }
    Signals.letGo()
    let seconds = model.settings.drainSeconds
    say("martlet-proxy: draining for at most \(seconds) s")
    if proxy.drain(within: seconds) { return 0 }
    say("martlet-proxy: requests were cut off after \(seconds) s")
    return 1
}

/// `martlet-proxy run …` and `martlet-proxy identity …`; nil: something else was asked for.
func runMesh(_ words: [String]) throws(Arguments.Problem) -> Int32? {
    let task: MeshArguments.Task
    switch words.first {
    case "run": task = .run
    case "identity": task = .identity
    default: return nil
    }
    let arguments = try MeshArguments(task, Array(words.dropFirst()), token: ChildProcess.variable("MARTLET_TOKEN"))
    do throws(ProxyError) {
        switch arguments.task {
        case .help:
            say(task == .run ? MeshArguments.runUsage : MeshArguments.identityUsage, to: 1)
            return 0
        case .run: return try MeshRun(arguments).run()
        case .identity: return try MeshRun(arguments).join()
        }
    } catch {
        throw Arguments.Problem(text: error.description)
    }
}

do throws(Arguments.Problem) {
    let words = Array(CommandLine.arguments.dropFirst())
    if words.first == "intercept" { exit(try intercept(Array(words.dropFirst()))) }
    // The control loop still runs: what libraries would tidy up now is in its use.
    if let code = try runMesh(words) { _exit(code) }
    let arguments = try Arguments(words)
    do throws(ProxyError) {
        switch arguments.task {
        case .help: say(Arguments.usage, to: 1)
        case .version: say("martlet-proxy \(Release.version)", to: 1)
        case .check: say("\(arguments.snapshot): valid, \(summary(try load(arguments)))", to: 1)
        case .serve: exit(try serve(arguments))
        }
    } catch {
        fail(error.description)
    }
} catch {
    fail(error.text)
}
