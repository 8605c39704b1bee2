import CLinux
import Glibc
import MeshCore

/// A program that this process has started, in a process group of its own.
public struct ChildProcess: Sendable, Equatable {
    /// How a process ended.
    public enum End: Sendable, Equatable {
        /// With this code.
        case exited(Int32)
        /// Killed by this signal.
        case killed(Int32)

        /// As a shell reports it: the code, or 128 and the signal.
        public var code: Int32 {
            switch self {
            case .exited(let code): code
            case .killed(let signal): 128 + signal
            }
        }
    }

    /// Why a program could not be started.
    public struct Failure: Error, Sendable, Equatable {
        /// For people: which program, and why.
        public var reason: String
        /// As a shell reports it: 127 if there is no such program, 126 if it cannot be executed.
        public var code: Int32
    }

    /// The process id, and the group's.
    public let id: Int32

    /// Starts `command`, looked up in PATH, with the environment `variables` (`NAME=value`). It gets SIGTERM should
    /// this process be killed.
    public static func start(_ command: [String], _ variables: [String]) throws(Failure) -> ChildProcess {
        let result = unsafe withStrings(command) { words in
            unsafe withStrings(variables) { unsafe linux_spawn(words, $0) }
        }
        guard result > 0 else {
            throw Failure(
                reason: "\(command.first ?? ""): cannot be started: \(Socket.text(-result))",
                code: result == -ENOENT ? 127 : 126)
        }
        return ChildProcess(id: result)
    }

    /// Sends `signal` to the process and those that it started, if they stayed in its group.
    public func send(_ signal: Int32) { _ = kill(-id, signal) }

    /// A child that has ended, nil if there is none now. Also those that were inherited, as process 1 does.
    public static func reap() -> (id: Int32, end: End)? {
        var status: Int32 = 0
        let id = unsafe waitpid(-1, &status, WNOHANG)
        guard id > 0 else { return nil }
        let signal = status & 0x7F
        return (id, signal == 0 ? .exited(status >> 8 & 0xFF) : .killed(signal))
    }

    /// This process's environment as `NAME=value`.
    public static func environment() -> [String] {
        var variables: [String] = []
        // SAFETY: nobody changes the environment of this process; the strings are copied.
        var cursor = unsafe environ
        while let text = unsafe cursor.pointee {
            unsafe variables.append(String(cString: text))
            unsafe cursor += 1
        }
        return variables
    }

    /// The value of the variable `name` of this process.
    public static func variable(_ name: String) -> String? { unsafe getenv(name).map { unsafe String(cString: $0) } }

    /// Runs `body` with C strings, and a null behind the last.
    private static func withStrings<Result>(
        _ strings: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Result
    ) -> Result {
        // SAFETY: the copies are freed after the call.
        var copies: [UnsafeMutablePointer<CChar>?] = unsafe strings.map { unsafe strdup($0) } + [nil]
        defer { unsafe copies.forEach { unsafe free($0) } }
        return unsafe body(&copies)
    }
}
