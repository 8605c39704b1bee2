import Glibc
import MeshCore

/// Whole files, for programs without Foundation.
public enum FileContents {
    /// The bytes of the file `path`, `limit` at most. The error names the file.
    public static func read(_ path: String, limit: Int) throws(ProxyError) -> [UInt8] {
        let fd = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard fd >= 0 else { throw ProxyError("\(path): \(Socket.text(errno))") }
        defer { Socket.close(fd) }
        var status = stat()
        // SAFETY: the structure is written during the call only.
        guard unsafe fstat(fd, &status) == 0 else { throw ProxyError("\(path): \(Socket.text(errno))") }
        guard status.st_mode & S_IFMT != S_IFDIR else { throw ProxyError("\(path): that is a directory") }
        var bytes: [UInt8] = []
        // The size is a hint: a pipe has none, and a file may grow meanwhile.
        var room = min(max(Int(status.st_size), 4096), limit) + 1
        while true {
            var piece = [UInt8](repeating: 0, count: room)
            // SAFETY: reads at most the array's size into it.
            let count = unsafe Glibc.read(fd, &piece, piece.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw ProxyError("\(path): \(Socket.text(errno))") }
            if count == 0 { return bytes }
            if bytes.isEmpty, count < room { piece.removeSubrange(count...) }
            bytes += piece.prefix(count)
            guard bytes.count <= limit else { throw ProxyError("\(path): larger than \(limit) bytes") }
            room = 64 << 10
        }
    }
}
