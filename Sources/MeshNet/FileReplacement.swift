import Glibc
import MeshCore

/// Changing files so that a crash leaves the old or the new one, never a part.
extension FileContents {
    /// Puts `bytes` in place of the file `path`: written beside it, flushed to the disk, renamed. With `mode` 0o600
    /// nobody else can read it at any moment.
    public static func replace(_ path: String, with bytes: [UInt8], mode: UInt32 = 0o644) throws(ProxyError) {
        let fresh = path + ".new"
        try write(fresh, bytes, mode: mode)
        try move(fresh, to: path)
    }

    /// Makes the file `path`, or empties it, and writes `bytes`, which are on the disk when this returns.
    public static func write(_ path: String, _ bytes: [UInt8], mode: UInt32 = 0o644) throws(ProxyError) {
        // A file that is there already may be readable for others.
        _ = unsafe unlink(path)
        let fd = unsafe open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode_t(mode))
        guard fd >= 0 else { throw ProxyError("\(path): \(Socket.text(errno))") }
        defer { Socket.close(fd) }
        var written = 0
        while written < bytes.count {
            // SAFETY: the bytes behind `written` are read during the call only.
            let count = unsafe bytes.withUnsafeBytes { bytes in
                unsafe Glibc.write(fd, bytes.baseAddress! + written, bytes.count - written)
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw ProxyError("\(path): \(Socket.text(errno))") }
            written += count
        }
        guard fsync(fd) == 0 else { throw ProxyError("\(path): \(Socket.text(errno))") }
    }

    /// Renames `path`, in place of what is at `target`; the directory is flushed to the disk.
    public static func move(_ path: String, to target: String) throws(ProxyError) {
        guard unsafe rename(path, target) == 0 else { throw ProxyError("\(target): \(Socket.text(errno))") }
        let directory = target.lastIndex(of: "/").map { $0 == target.startIndex ? "/" : String(target[..<$0]) } ?? "."
        let fd = unsafe open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard fd >= 0 else { return }
        // Where a directory cannot be flushed, the rename is as safe as it gets.
        _ = fsync(fd)
        Socket.close(fd)
    }

    /// True if there is something at `path`.
    public static func exists(_ path: String) -> Bool { unsafe access(path, F_OK) == 0 }

    /// Makes the directory `path`, and those above it, if they are not there; new ones are their owner's alone.
    public static func makeDirectory(_ path: String) throws(ProxyError) {
        var made = path.hasPrefix("/") ? "/" : ""
        for part in path.split(separator: "/") {
            made += (made.isEmpty || made == "/" ? "" : "/") + part
            guard unsafe mkdir(made, 0o700) == 0 || errno == EEXIST else {
                throw ProxyError("\(made): \(Socket.text(errno))")
            }
        }
        guard unsafe access(path, W_OK | X_OK) == 0 else { throw ProxyError("\(path): \(Socket.text(errno))") }
    }

    /// Holds the file `path` for this process until it ends; false if another process holds it.
    public static func hold(_ path: String) throws(ProxyError) -> Bool {
        let fd = unsafe open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard fd >= 0 else { throw ProxyError("\(path): \(Socket.text(errno))") }
        if flock(fd, LOCK_EX | LOCK_NB) == 0 { return true }
        Socket.close(fd)
        return false
    }
}
