import MeshCore
import MeshModel
import MeshNet
import MeshTelemetry
import Synchronization

/// What the loops of a process share and none of them owns: the log's writer, warnings.
final class ProcessServices: Sendable {
    let accessLog: AccessLogService
    let warnings: Warnings

    init(_ setting: AccessLog) throws(ProxyError) {
        accessLog = try AccessLogService(setting)
        warnings = Warnings()
    }
}

/// The access log of the process: its form, and who writes it. Without one there is no thread.
final class AccessLogService: Sendable {
    let format: AccessLogFormat
    let writer: LogWriter?

    init(_ setting: AccessLog) throws(ProxyError) {
        format = try AccessLogFormat(setting)
        writer = format.isOff ? nil : try LogWriter(descriptor: 1)
    }

    var isOn: Bool { writer != nil }
}

/// Lines for people on standard error: at most ten a second, the rest is counted.
final class Warnings: Sendable {
    private struct State {
        var second: UInt64 = 0
        var count = 0
        var suppressed = 0
    }

    private let state = Mutex(State())

    /// Writes `line`, without its newline.
    func say(_ line: String) {
        let second = Clock.now().nanoseconds / 1_000_000_000
        let suppressed: Int? = state.withLock { state in
            if state.second != second {
                state.second = second
                state.count = 0
            }
            state.count += 1
            guard state.count <= 10 else {
                state.suppressed += 1
                return nil
            }
            defer { state.suppressed = 0 }
            return state.suppressed
        }
        guard let suppressed else { return }
        let more = suppressed > 0 ? " (\(suppressed) more lines were left out)" : ""
        StandardError.write("martlet: \(line)\(more)\n")
    }
}
