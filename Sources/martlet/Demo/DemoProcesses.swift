import Foundation

/// The processes that the demo starts: each writes to a log of its own, and all of them are ended with it.
final class DemoProcesses {
    /// One of them.
    struct Started {
        var name: String
        var process: Process
        var log: URL

        /// The last lines of what it has said, for an error.
        func tail(_ lines: Int = 8) -> String {
            let text = (try? String(contentsOf: log, encoding: .utf8)) ?? ""
            return text.split(separator: "\n").suffix(lines).joined(separator: "\n")
        }
    }

    private let logs: URL
    private var running: [Started] = []

    init(logs: URL) { self.logs = logs }

    /// Starts a program; its output goes to `NAME.log`, behind what an earlier process of the name has left there.
    func start(
        _ name: String, _ program: String, _ arguments: [String], environment: [String: String] = [:]
    ) throws -> Started {
        let log = logs.appendingPathComponent("\(name).log")
        if !FileManager.default.fileExists(atPath: log.path) {
            _ = FileManager.default.createFile(atPath: log.path, contents: nil)
        }
        let output = try FileHandle(forWritingTo: log)
        try output.seekToEnd()
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { _, new in new }
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = output
        process.standardError = output
        do {
            try process.run()
        } catch {
            throw Failure(message: "\(program) cannot be started: \(error.localizedDescription)")
        }
        let started = Started(name: name, process: process, log: log)
        running.append(started)
        return started
    }

    /// Starts a process that has ended once more, as it was started.
    func again(_ ended: Started) throws -> Started {
        try start(
            ended.name, ended.process.executableURL?.path ?? "", ended.process.arguments ?? [],
            environment: ended.process.environment ?? [:])
    }

    /// Asks a process to end and waits for it; true if it has done so within `seconds`.
    @discardableResult
    func stop(_ started: Started, within seconds: Double = 15) -> Bool {
        forget(started)
        if started.process.isRunning { started.process.terminate() }
        return hasEnded(started, within: seconds)
    }

    /// Ends a process as a power cut does.
    func kill(_ started: Started) {
        forget(started)
        if started.process.isRunning { _ = Glibc.kill(started.process.processIdentifier, SIGKILL) }
        _ = hasEnded(started, within: 5)
    }

    /// One that has ended although nobody asked it to, nil if all are up.
    var ended: Started? { running.first { !$0.process.isRunning } }

    private func forget(_ started: Started) { running.removeAll { $0.process === started.process } }

    /// Ends whatever still runs, all at once; the names of those that would not.
    func stopAll() -> [String] {
        let left = running.filter { $0.process.isRunning }
        for started in left { started.process.terminate() }
        let deadline = Date().addingTimeInterval(15)
        return left.filter { !hasEnded($0, within: deadline.timeIntervalSinceNow) }.map(\.name)
    }

    private func hasEnded(_ started: Started, within seconds: Double) -> Bool {
        let deadline = Date().addingTimeInterval(seconds)
        while started.process.isRunning, Date() < deadline { usleep(20_000) }
        guard started.process.isRunning else { return true }
        _ = Glibc.kill(started.process.processIdentifier, SIGKILL)
        started.process.waitUntilExit()
        return false
    }
}
