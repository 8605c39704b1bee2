import CAres
import Glibc
import MeshCore

/// Owns one c-ares channel: its sockets as sources and its deadlines as a timer of the loop, and the lookups.
///
/// c-ares must not be destroyed, and had better not be called, inside its callbacks. So these only note what has
/// finished; the askers hear of it once c-ares has returned, and may then ask again or drop the resolver.
///
/// The owner calls `destroy()` before it lets go; c-ares knows this object by its address.
@safe
final class ResolverChannel {
    private let loop: EventLoop
    private let settings: Resolver.Settings
    private let parallelLimit: Int
    private let timer = ResolverTimer()
    private var ares: ares_channel?
    /// By c-ares' own descriptors.
    private var sockets: [Int32: ResolverSocket] = [:]
    private var runningCount = 0
    /// Lookups from `waitingStart` on wait for their turn.
    private var waiting: [ResolverLookup] = []
    private var waitingStart = 0
    private var finished: [(lookup: ResolverLookup, answer: ResolverAnswer)] = []

    /// The system's name servers as they were read.
    private var systemFile = FileMark()

    init(loop: EventLoop, settings: Resolver.Settings) throws(ProxyError) {
        self.loop = loop
        self.settings = settings
        parallelLimit = max(settings.parallelLimit, 1)
        unsafe ares = nil
        timer.channel = self
        systemFile = FileMark(settings.systemFile)
        unsafe ares = try open()
    }

    /// A new c-ares channel.
    private func open() throws(ProxyError) -> ares_channel? {
        var options = unsafe ares_options()
        unsafe options.timeout = max(settings.timeout, 1)
        unsafe options.tries = max(settings.tries, 1)
        unsafe options.sock_state_cb = resolverSocketChanged
        // SAFETY: c-ares keeps this address until `ares_destroy`, which comes before this object goes.
        unsafe options.sock_state_cb_data = Unmanaged.passUnretained(self).toOpaque()
        unsafe options.udp_port = settings.systemPort
        unsafe options.tcp_port = settings.systemPort
        let limits = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES
        let mask = limits | ARES_OPT_SOCK_STATE_CB | ARES_OPT_RESOLVCONF | ARES_OPT_UDP_PORT | ARES_OPT_TCP_PORT
        var made: ares_channel?
        let status = unsafe settings.systemFile.withCString { path in
            // SAFETY: c-ares copies the path.
            unsafe options.resolvconf_path = UnsafeMutablePointer(mutating: path)
            return unsafe ares_init_options(&made, &options, mask)
        }
        guard status == ARES_SUCCESS else { throw Self.failure("cannot set up name resolution", status) }
        guard let servers = settings.servers else { return unsafe made }
        let code = unsafe ares_set_servers_ports_csv(made, servers)
        guard code == ARES_SUCCESS else {
            unsafe ares_destroy(made)
            throw Self.failure("cannot use the name servers \(servers)", code)
        }
        return unsafe made
    }

    /// Reads the system's name servers anew if they have changed, as they do when a machine changes its network. What is
    /// under way fails: it was put to servers that may be out of reach.
    private func followSystem() {
        guard settings.servers == nil, unsafe ares != nil else { return }
        let mark = FileMark(settings.systemFile)
        if mark == systemFile { return }
        systemFile = mark
        // Without a new channel the old one is better than none.
        guard let new = unsafe try? open() else { return }
        unsafe ares_destroy(ares)
        unsafe ares = new
    }

    deinit { precondition(unsafe ares == nil, "a resolver's channel went before it was destroyed") }

    /// Ends everything without an answer. Again: nothing.
    func destroy() {
        guard let channel = unsafe ares else { return }
        unsafe ares = nil
        // Calls back for each query, then for each socket.
        unsafe ares_destroy(channel)
        loop.cancel(timer)
        waiting = []
        waitingStart = 0
        finished = []
    }

    var pendingCount: Int { runningCount + waiting.count - waitingStart }

    // MARK: Lookups

    /// Starts `lookup`, or keeps it until there is room.
    func ask(_ lookup: ResolverLookup) {
        followSystem()
        if let address = SocketAddress(ip: lookup.name, port: lookup.port) {
            runningCount += 1
            finished.append((lookup, .addresses([address], timeToLive: 0)))
        } else if runningCount < parallelLimit && waiting.isEmpty {
            start(lookup)
        } else if waiting.count - waitingStart < settings.waitingLimit {
            waiting.append(lookup)
        } else {
            runningCount += 1
            finished.append(
                (lookup, .failed("cannot resolve \(lookup.name): too many names are waiting", isNegative: false)))
        }
        if !finished.isEmpty {
            // The asker hears of it after this call has returned.
            // SAFETY: the job runs on this object's own loop.
            unsafe loop.mailbox.postUnchecked { [weak self] in self?.settle() }
        }
        rearm()
    }

    private func start(_ lookup: ResolverLookup) {
        runningCount += 1
        // C would stop at a NUL and ask for another name.
        guard let channel = unsafe ares, !lookup.name.isEmpty, !lookup.name.utf8.contains(0) else {
            finished.append((lookup, .failed("cannot resolve \(lookup.name): not a name", isNegative: true)))
            return
        }
        for family in [AF_INET, AF_INET6] {
            // The order of the answer stays: whoever uses the addresses balances over them.
            var hints = ares_addrinfo_hints()
            hints.ai_flags = Int32(ARES_AI_NOSORT)
            hints.ai_family = family
            // SAFETY: c-ares calls back exactly once for each query, at the latest when it is destroyed, and
            // `resolverAnswered` takes this reference over.
            let query = unsafe Unmanaged.passRetained(ResolverQuery(self, lookup)).toOpaque()
            unsafe ares_getaddrinfo(channel, lookup.name, nil, &hints, resolverAnswered, query)
        }
    }

    /// Notes that a query of `lookup` has ended. Called from within c-ares.
    func queryEnded(_ lookup: ResolverLookup, _ status: Int32, _ result: UnsafePointer<ares_addrinfo>?) {
        if unsafe lookup.take(status, result) { finished.append((lookup, lookup.answer)) }
    }

    /// Hands out the answers, starts what has been waiting, and sets the timer.
    private func settle() {
        while unsafe ares != nil {
            if !finished.isEmpty {
                let batch = finished
                finished = []
                runningCount -= batch.count
                for entry in batch where unsafe ares != nil { entry.lookup.done(entry.answer) }
            } else if waitingStart < waiting.count && runningCount < parallelLimit {
                startNext()
            } else {
                break
            }
        }
        rearm()
    }

    private func startNext() {
        let lookup = waiting[waitingStart]
        waitingStart += 1
        if waitingStart == waiting.count || waitingStart >= 1024 {
            waiting.removeFirst(waitingStart)
            waitingStart = 0
        }
        start(lookup)
    }

    // MARK: Sockets and time

    /// Lets c-ares read and write its descriptors, -1 for none, and deal with what has timed out.
    func process(readable: Int32, writable: Int32) {
        guard let channel = unsafe ares else { return }
        unsafe ares_process_fd(channel, readable, writable)
        settle()
    }

    /// c-ares wants to hear of `fd`, or no more of it. Called from within c-ares.
    func socketChanged(_ fd: Int32, _ interest: Events) {
        if let socket = sockets[fd] {
            if interest.isEmpty {
                sockets[fd] = nil
                let duplicate = loop.detach(socket)
                if duplicate >= 0 { Socket.close(duplicate) }
            } else {
                loop.update(socket, interest.union(.level))
            }
        } else if !interest.isEmpty, let socket = ResolverSocket(self, fd) {
            // A socket that the system does not watch gets no answer: the query runs into its timeout.
            if loop.add(socket, interest.union(.level)) { sockets[fd] = socket }
        }
    }

    private func rearm() {
        guard let channel = unsafe ares else { return }
        var time = timeval()
        // SAFETY: c-ares returns its second argument, which is nil, or `time`, filled.
        guard unsafe ares_timeout(channel, nil, &time) != nil else { return loop.cancel(timer) }
        let microseconds = UInt64(clamping: time.tv_sec) * 1_000_000 + UInt64(clamping: time.tv_usec)
        loop.schedule(timer, at: loop.now.advanced(byNanoseconds: microseconds * 1000))
    }

    private static func failure(_ what: String, _ status: Int32) -> ProxyError {
        ProxyError("\(what): \(unsafe String(cString: ares_strerror(status)))")
    }
}

/// A query that c-ares runs.
final class ResolverQuery {
    let channel: ResolverChannel
    let lookup: ResolverLookup

    init(_ channel: ResolverChannel, _ lookup: ResolverLookup) {
        self.channel = channel
        self.lookup = lookup
    }
}

/// A duplicate of a socket of c-ares, which keeps and closes its own: the loop owns what it watches.
final class ResolverSocket: EventSource {
    private weak var channel: ResolverChannel?
    private let original: Int32

    /// Nil if the process has no descriptor left.
    init?(_ channel: ResolverChannel, _ original: Int32) {
        let duplicate = fcntl(original, F_DUPFD_CLOEXEC, 0)
        if duplicate < 0 { return nil }
        self.channel = channel
        self.original = original
        super.init(fd: duplicate)
    }

    override func handle(_ events: Events) {
        // An error is found by reading and by writing.
        let broken = events.contains(.error) || events.contains(.hangup)
        channel?.process(
            readable: broken || events.contains(.readable) ? original : -1,
            writable: broken || events.contains(.writable) ? original : -1)
    }
}

/// The channel's next deadline.
final class ResolverTimer: TimerNode {
    weak var channel: ResolverChannel?

    override func timerFired() { channel?.process(readable: -1, writable: -1) }
}

/// Tells one state of a file from another.
private struct FileMark: Equatable {
    private var numbers: [Int] = []

    /// No file.
    init() {}

    init(_ path: String) {
        var status = stat()
        guard unsafe stat(path, &status) == 0 else { return }
        numbers = [Int(bitPattern: UInt(status.st_ino)), status.st_size, status.st_mtim.tv_sec, status.st_mtim.tv_nsec]
    }
}
