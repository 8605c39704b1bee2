import CLinux
import Glibc
import MeshCore

/// Waits, in one thread, for signals and for changes of a configuration: the YAML files below a directory (or one
/// file), and files elsewhere that these point at (inotify(7), signalfd(2)).
///
/// It says *that* something changed, not what: whoever asks reads everything again. Bursts (an editor that writes,
/// renames and removes; a checkout; a swapped symbolic link) are one change, reported when nothing has happened for
/// ``quietTime``, or after ``patience`` if it never gets quiet. Nothing is lost in between: what happens while a change
/// is being read is a change of its own, and directories are watched before they are reported.
///
/// Not on network file systems: the kernel only tells of what this machine does.
public final class DirectoryWatch {
    /// Why ``next(milliseconds:)`` returned.
    public enum Wake: Sendable, Equatable {
        /// SIGTERM, SIGINT or SIGHUP came.
        case signal(Int32)
        /// Something changed.
        case changed
        /// Neither.
        case timeUp
    }

    /// What of a directory's entries matters.
    private struct Interest {
        /// Every YAML file and every subdirectory.
        var isTree = false
        /// Entries of these names.
        var names: Set<String> = []
    }

    /// How long nothing may happen before a change is reported: 50 ms.
    public static let quietTime: UInt64 = 50_000_000
    /// How long a change may take to get quiet: 1 s.
    public static let patience: UInt64 = 1_000_000_000
    /// Most directories that are watched; further ones are left to SIGHUP, see ``problem``.
    public static let maximumDirectories = 4096

    /// Why not everything is watched, for people; nil: it is.
    public private(set) var problem: String?

    /// Why there is no inotify instance.
    private let refusal: String?
    /// Negative if there is none.
    private let inotify: Int32
    private let signals: Int32
    private let root: String
    private var files: [String] = []
    private var interests: [Int32: Interest] = [:]
    /// Directory entries that have been asked for, to see which are new.
    private var known: Set<PathTrail.Entry> = []
    private var pending = false

    private static let mask = UInt32(
        IN_MODIFY | IN_ATTRIB | IN_CLOSE_WRITE | IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_DELETE_SELF
            | IN_MOVE_SELF)

    /// Watches what is below `root`, a directory or a file that need not exist yet. Signals must have been held
    /// (``Signals/hold()``). Where the system gives no inotify instance, only signals come; see ``problem``.
    public convenience init(_ root: String) throws(ProxyError) {
        try self.init(root, inotify: inotify_init1(Int32(O_NONBLOCK | O_CLOEXEC)))
    }

    /// Takes over `inotify`, or its absence if that is negative.
    init(_ root: String, inotify: Int32) throws(ProxyError) {
        self.root = root
        self.inotify = inotify
        refusal = inotify < 0 ? "changes are not followed (\(Socket.text(errno))): send SIGHUP after a change" : nil
        let flags = Int32(O_NONBLOCK | O_CLOEXEC)
        var set = Signals.mask()
        // SAFETY: the set is read during the call only.
        signals = unsafe signalfd(-1, &set, flags)
        guard signals >= 0 else {
            let code = errno
            if inotify >= 0 { Socket.close(inotify) }
            throw ProxyError("cannot wait for signals: \(Socket.text(code))")
        }
        scan()
    }

    deinit {
        if inotify >= 0 { Socket.close(inotify) }
        Socket.close(signals)
    }

    /// Follows `files` as well, instead of those before. To be called after each reading: files that are new here may
    /// have changed since they were read, so they count as a change.
    public func follow(_ files: [String]) {
        self.files = files
        let before = known
        scan()
        if !known.isSubset(of: before) { pending = true }
    }

    /// Waits for a signal or a change, `milliseconds` at most, or for ever if that is negative. A signal comes first.
    public func next(milliseconds: Int = -1) -> Wake {
        let start = Clock.now()
        let end =
            milliseconds < 0 ? Instant.never : start.advanced(byNanoseconds: UInt64(milliseconds) &* 1_000_000)
        var first = start
        var last = start
        while true {
            let due = min(
                last.advanced(byNanoseconds: Self.quietTime), first.advanced(byNanoseconds: Self.patience))
            let now = Clock.now()
            if pending, now >= due {
                pending = false
                scan()
                return .changed
            }
            if !pending, now >= end { return .timeUp }
            poll(until: pending ? due : end, from: now)
            if let signal = takeSignal() { return .signal(signal) }
            guard takeEvents() else { continue }
            last = Clock.now()
            if !pending { (pending, first) = (true, last) }
        }
    }

    // MARK: Reading

    private func poll(until end: Instant, from now: Instant) {
        let wait = end == .never ? -1 : Int32(clamping: end.nanoseconds(since: now) / 1_000_000 + 1)
        var descriptors = [
            pollfd(fd: signals, events: Int16(POLLIN), revents: 0),
            pollfd(fd: inotify, events: Int16(POLLIN), revents: 0),
        ]
        // SAFETY: two elements, written during the call only.
        _ = unsafe Glibc.poll(&descriptors, 2, wait)
    }

    private func takeSignal() -> Int32? {
        // struct signalfd_siginfo has 128 bytes and begins with the signal's number.
        var bytes = [UInt8](repeating: 0, count: 128)
        // SAFETY: reads at most the array's size into it.
        guard unsafe read(signals, &bytes, bytes.count) == bytes.count else { return nil }
        return Int32(truncatingIfNeeded: Self.number(bytes, at: 0))
    }

    /// Reads all events that wait; true if one of them matters.
    private func takeEvents() -> Bool {
        var bytes = [UInt8](repeating: 0, count: 16 << 10)
        var matters = false
        while true {
            // SAFETY: reads at most the array's size into it.
            let count = unsafe read(inotify, &bytes, bytes.count)
            guard count > 0 else { return matters }
            var offset = 0
            // struct inotify_event: descriptor, mask, cookie and length of the name, which follows, padded with zeros.
            while offset + 16 <= count {
                let descriptor = Int32(bitPattern: Self.number(bytes, at: offset))
                let length = Int(Self.number(bytes, at: offset + 12))
                let name = bytes[(offset + 16)..<min(offset + 16 + length, count)].prefix { $0 != 0 }
                let text = String(decoding: name, as: UTF8.self)
                if event(descriptor, Self.number(bytes, at: offset + 4), text) { matters = true }
                offset += 16 + length
            }
        }
    }

    private func event(_ descriptor: Int32, _ mask: UInt32, _ name: String) -> Bool {
        if mask & UInt32(IN_Q_OVERFLOW) != 0 { return true }
        if mask & UInt32(IN_IGNORED) != 0 { return interests.removeValue(forKey: descriptor) != nil }
        guard let interest = interests[descriptor] else { return false }
        if name.isEmpty { return mask & UInt32(IN_DELETE_SELF | IN_MOVE_SELF) != 0 }
        if interest.names.contains(name) { return true }
        guard interest.isTree, !name.hasPrefix(".") else { return false }
        return mask & UInt32(IN_ISDIR) != 0 || Self.isYAML(name)
    }

    private static func number(_ bytes: [UInt8], at offset: Int) -> UInt32 {
        (0..<4).reduce(0) { $0 | UInt32(bytes[offset + $1]) << (8 * UInt32($1)) }
    }

    private static func isYAML(_ name: String) -> Bool { name.hasSuffix(".yaml") || name.hasSuffix(".yml") }

    // MARK: What to watch

    /// Watches everything that there is now, and nothing else.
    private func scan() {
        problem = refusal
        guard inotify >= 0 else { return }
        let before = interests
        interests = [:]
        known = []
        follow(entriesOf: root)
        for file in files { follow(entriesOf: file) }
        var visited: Set<Int32> = []
        tree(root, depth: 0, &visited)
        for descriptor in before.keys where interests[descriptor] == nil {
            _ = inotify_rm_watch(inotify, descriptor)
        }
    }

    private func follow(entriesOf path: String) {
        for entry in PathTrail.entries(path) {
            known.insert(entry)
            if let descriptor = add(entry.directory) {
                interests[descriptor, default: Interest()].names.insert(entry.name)
            }
        }
    }

    /// Watches the directory `path` and those below it. The watch comes before the look at what is there, so that
    /// nothing falls between.
    private func tree(_ path: String, depth: Int, _ visited: inout Set<Int32>) {
        guard depth <= 16, Self.isDirectory(path), let descriptor = add(path), visited.insert(descriptor).inserted
        else { return }
        interests[descriptor, default: Interest()].isTree = true
        for name in Self.names(in: path) where !name.hasPrefix(".") {
            let full = path + "/" + name
            if Self.isDirectory(full) {
                tree(full, depth: depth + 1, &visited)
            } else if Self.isYAML(name) {
                // A link may lead elsewhere.
                let entries = PathTrail.entries(full)
                if entries.count > 1 { follow(entriesOf: full) }
            }
        }
    }

    private func add(_ directory: String) -> Int32? {
        guard interests.count < Self.maximumDirectories else {
            problem = "more than \(Self.maximumDirectories) directories: changes in the others need SIGHUP"
            return nil
        }
        let descriptor = unsafe inotify_add_watch(inotify, directory, Self.mask)
        if descriptor >= 0 { return descriptor }
        let code = errno
        if code != ENOENT && code != ENOTDIR { problem = "cannot watch \(directory): \(Socket.text(code))" }
        return nil
    }

    private static func isDirectory(_ path: String) -> Bool {
        var status = stat()
        // SAFETY: the path is copied for the call; the structure is written during it.
        return unsafe stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    private static func names(in directory: String) -> [String] {
        guard let stream = unsafe opendir(directory) else { return [] }
        // SAFETY: the stream is owned here and closed once; an entry's name is copied before the next is read.
        defer { unsafe closedir(stream) }
        var result: [String] = []
        while let entry = unsafe readdir(stream) {
            let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            result.append(name)
        }
        return result
    }
}
