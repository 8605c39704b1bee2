import CLinux
import Glibc
import MeshCore

/// What the process uses of the machine, and may use.
public enum ThisProcess {
    /// Processors that this process may run on (affinity, not the cgroup's quota), at least 1.
    public static func processorCount() -> Int {
        var mask = [UInt64](repeating: 0, count: 128)
        return max(1, unsafe linux_affinity(&mask, Int32(mask.count)))
    }

    /// Memory in RAM, in bytes; 0 if /proc is not mounted.
    public static func residentBytes() -> Int {
        // The second number of the line counts pages.
        let numbers = contents("/proc/self/statm").split(separator: UInt8(ascii: " "))
        guard numbers.count > 1, let pages = Int(String(decoding: numbers[1], as: UTF8.self)) else { return 0 }
        return pages &* sysconf(Int32(_SC_PAGESIZE))
    }

    /// Gives memory that was freed back to the machine: after a rush, the C library keeps it. Takes milliseconds.
    public static func returnFreeMemory() { _ = malloc_trim(0) }

    /// Processor time that the process has used, user and system, in nanoseconds.
    public static func processorNanoseconds() -> UInt64 {
        var time = timespec()
        guard unsafe clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time) == 0 else { return 0 }
        return UInt64(clamping: time.tv_sec) &* 1_000_000_000 &+ UInt64(clamping: time.tv_nsec)
    }

    /// Open descriptors; 0 if /proc is not mounted.
    public static func openDescriptorCount() -> Int {
        guard let directory = unsafe opendir("/proc/self/fd") else { return 0 }
        // SAFETY: the stream is owned here and closed once; entries are not kept.
        defer { unsafe closedir(directory) }
        var count = 0
        while unsafe readdir(directory) != nil { count += 1 }
        // Not ".", ".." and the directory itself.
        return max(0, count - 3)
    }

    /// Gives back the memory of code and constants that only the start needed: of 13 MiB resident, about 4 come back
    /// with the first requests. Costs a page fault for each part that is used again, so call it once, when all is up.
    public static func releaseStartupPages() { linux_drop_startup_pages() }

    /// Lets the calling thread sleep. For threads that serve nobody.
    public static func pause(milliseconds: UInt32) { _ = usleep(milliseconds &* 1000) }

    private static func contents(_ path: String) -> [UInt8] {
        let fd = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard fd >= 0 else { return [] }
        defer { Socket.close(fd) }
        var bytes = [UInt8](repeating: 0, count: 512)
        let count = unsafe read(fd, &bytes, bytes.count)
        return Array(bytes.prefix(max(0, count)))
    }
}
