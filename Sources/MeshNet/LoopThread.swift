import CLinux
import Glibc
import MeshCore

/// Threads for loops, which have a name and can be waited for.
public enum LoopThread {
    /// A running thread. Join it once, or leave it to the end of the process.
    @safe
    public struct Handle: @unchecked Sendable {
        fileprivate let thread: pthread_t

        /// Waits for the thread's end. At most once.
        public func join() { pthread_join(thread, nil) }
    }

    private final class Start {
        let name: String
        let cpu: Int?
        let body: () -> Void

        init(name: String, cpu: Int?, body: @escaping () -> Void) {
            self.name = name
            self.cpu = cpu
            self.body = body
        }

        func run() {
            unsafe linux_name_thread(name)
            // A processor that this process may not use is no reason to fail: the thread runs wherever it may.
            if let cpu { _ = linux_pin(Int32(clamping: cpu)) }
            body()
        }
    }

    /// Runs `body` on a thread of its own, called `name` (15 bytes are kept) in `top -H`, and kept on processor `cpu`
    /// if one is given. Nothing that `body` captures may be used elsewhere meanwhile.
    @discardableResult
    public static func spawn(
        name: String, cpu: Int? = nil, _ body: sending @escaping () -> Void
    ) throws(ProxyError) -> Handle {
        var thread = pthread_t()
        // SAFETY: the new thread takes this reference over; if there is none, it is released below.
        let start = unsafe Unmanaged.passRetained(Start(name: name, cpu: cpu, body: body))
        let code = unsafe pthread_create(
            &thread, nil,
            { argument in
                if let argument = unsafe argument {
                    unsafe Unmanaged<Start>.fromOpaque(argument).takeRetainedValue().run()
                }
                return nil
            }, start.toOpaque())
        guard code == 0 else {
            unsafe start.release()
            throw ProxyError("cannot start thread \(name): \(Socket.text(code)); see ulimit -u")
        }
        return Handle(thread: thread)
    }
}
