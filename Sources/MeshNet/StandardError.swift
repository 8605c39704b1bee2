import Glibc

/// The process's standard error.
public enum StandardError {
    /// Writes `line` and a newline in one piece, as far as the descriptor takes it at once.
    public static func say(_ line: String) {
        let bytes = Array((line + "\n").utf8)
        _ = unsafe bytes.withUnsafeBytes { unsafe write(2, $0.baseAddress, $0.count) }
    }
}
