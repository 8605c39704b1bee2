/// Everything a proxy serves: the one internal representation that all sources of configuration are translated into.
///
/// Plain values, compared field by field: reloading an equal model is a no-op. A model in use has passed
/// ``validate()``.
public struct Model: Sendable, Equatable {
    /// Says which configuration this is, for people: shown by the admin server and in the log.
    public var revision: String
    /// What concerns the whole proxy.
    public var settings: ProxySettings
    /// The sockets that are listened on, each address once, those of port 0 aside.
    public var listeners: [Listener]
    /// What routes refer to, by unique name.
    public var backends: [Backend]
    /// Who the proxy is in its mesh; nil outside of one. Not in the compiled form, which others may read.
    public var identity: MeshIdentity?
    /// How metrics name the proxy in its mesh; nil outside of one.
    public var place: MeshPlace?

    /// A model of these parts; without any, a proxy that serves nothing.
    public init(
        revision: String = "", settings: ProxySettings = ProxySettings(), listeners: [Listener] = [],
        backends: [Backend] = [], identity: MeshIdentity? = nil, place: MeshPlace? = nil
    ) {
        self.identity = identity
        self.place = place
        self.revision = revision
        self.settings = settings
        self.listeners = listeners
        self.backends = backends
    }
}

/// Where in the documents a part of the model was written, for `martlet explain` and for errors.
public struct Origin: Sendable, Equatable {
    /// The file as it was named to the reader, or another source's name for the document.
    public var file: String
    /// The line, from 1; 0 if it is not known.
    public var line: Int

    /// Line `line` of `file`.
    public init(file: String, line: Int) {
        self.file = file
        self.line = line
    }
}

/// What concerns the whole proxy.
public struct ProxySettings: Sendable, Equatable {
    /// How long requests in flight may take to finish after SIGTERM, and connections after their listener went away.
    public var drainTimeout: Duration
    /// The longest time between two resolutions of an endpoint's name; answers with a shorter TTL are asked for sooner.
    public var resolutionInterval: Duration
    /// One line per exchange.
    public var accessLog: AccessLog
    /// Where the proxy stands, such as an availability zone; nil: unknown.
    public var zone: String?
    /// When the proxy itself has too much to do.
    public var overload: OverloadProtection

    /// Settings; the defaults where nothing is said.
    public init(
        drainTimeout: Duration = Self.defaultDrainTimeout,
        resolutionInterval: Duration = Self.defaultResolutionInterval, accessLog: AccessLog = .json,
        zone: String? = nil, overload: OverloadProtection = OverloadProtection()
    ) {
        self.drainTimeout = drainTimeout
        self.resolutionInterval = resolutionInterval
        self.accessLog = accessLog
        self.zone = zone
        self.overload = overload
    }

    /// ``drainTimeout`` in whole seconds, a part of one counted as one.
    public var drainSeconds: Int {
        let (seconds, attoseconds) = drainTimeout.components
        return Int(clamping: seconds) + (attoseconds > 0 && seconds < Int.max ? 1 : 0)
    }

    /// 30 s, as long as Kubernetes waits between SIGTERM and SIGKILL.
    public static let defaultDrainTimeout = Duration.seconds(30)
    /// 30 s.
    public static let defaultResolutionInterval = Duration.seconds(30)
}

/// The form of the access log, which goes to standard output.
public enum AccessLog: Sendable, Equatable {
    /// No access log.
    case off
    /// One JSON object per line.
    case json
    /// One line per exchange after this format.
    case text(format: String)
}

extension Duration {
    /// Whole nanoseconds; 0 if negative, the largest number if too long for one.
    public var nanoseconds: UInt64 {
        let (seconds, attoseconds) = components
        guard seconds >= 0, attoseconds >= 0 else { return 0 }
        let (product, overflow) = UInt64(seconds).multipliedReportingOverflow(by: 1_000_000_000)
        let (sum, carry) = product.addingReportingOverflow(UInt64(attoseconds) / 1_000_000_000)
        return overflow || carry ? .max : sum
    }
}
