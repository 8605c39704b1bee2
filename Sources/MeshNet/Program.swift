import Glibc
import MeshCore

/// Other programs, run to their end. For commands of people: the caller waits.
public enum Program {
    /// What came of one.
    public struct Result: Sendable, Equatable {
        /// Its exit code; 128 and the signal if one killed it.
        public var code: Int32
        /// What it wrote to standard output and standard error, at most 64 KiB.
        public var output: String
    }

    /// Runs `command`, looked up in PATH, with `input` (at most 32 KiB) on standard input.
    ///
    /// - Throws: if it cannot be started; says whether there is no such program.
    public static func run(_ command: [String], input: String = "") throws(ProxyError) -> Result {
        var (incoming, outgoing): ([Int32], [Int32]) = ([-1, -1], [-1, -1])
        guard unsafe pipe(&incoming) == 0, unsafe pipe(&outgoing) == 0 else {
            throw ProxyError("cannot make a pipe: \(Socket.text(errno))")
        }
        for end in incoming + outgoing { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        defer { close(outgoing[0]) }
        // What fits into the pipe needs nobody who reads it yet.
        let bytes = Array(input.utf8.prefix(32 * 1024))
        _ = unsafe bytes.withUnsafeBytes { unsafe write(incoming[1], $0.baseAddress, $0.count) }
        close(incoming[1])
        let child = spawn(command, input: incoming[0], output: outgoing[1])
        close(incoming[0])
        close(outgoing[1])
        switch child {
        case .failure(let failure):
            throw ProxyError(
                failure.code == ENOENT
                    ? "\(command[0]) is not installed, or not in PATH"
                    : "\(command[0]) cannot be started: \(Socket.text(failure.code))")
        case .success(let child):
            let output = read(outgoing[0])
            var status: Int32 = 0
            while unsafe waitpid(child, &status, 0) < 0, errno == EINTR {}
            let signal = status & 0x7F
            return Result(code: signal == 0 ? status >> 8 & 0xFF : 128 + signal, output: output)
        }
    }

    private struct Failure: Error { let code: Int32 }

    private static func spawn(_ command: [String], input: Int32, output: Int32) -> Swift.Result<pid_t, Failure> {
        var actions = unsafe posix_spawn_file_actions_t()
        // SAFETY: initialised here, destroyed below; all calls copy what they are given.
        _ = unsafe posix_spawn_file_actions_init(&actions)
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        unsafe posix_spawn_file_actions_adddup2(&actions, input, 0)
        unsafe posix_spawn_file_actions_adddup2(&actions, output, 1)
        unsafe posix_spawn_file_actions_adddup2(&actions, output, 2)
        // SAFETY: the copies are freed after the call, which has its own by then.
        var words: [UnsafeMutablePointer<CChar>?] = unsafe command.map { unsafe strdup($0) } + [nil]
        defer { unsafe words.forEach { unsafe free($0) } }
        var child: pid_t = 0
        let code = unsafe posix_spawnp(&child, words[0]!, &actions, nil, &words, environ)
        return code == 0 ? .success(child) : .failure(Failure(code: code))
    }

    private static func read(_ descriptor: Int32) -> String {
        var all: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            // SAFETY: the buffer lives across the call.
            let count = unsafe buffer.withUnsafeMutableBytes { unsafe Glibc.read(descriptor, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            if count <= 0 { break }
            if all.count < 64 * 1024 { all += buffer[..<count] }
        }
        return String(decoding: all, as: UTF8.self)
    }
}
