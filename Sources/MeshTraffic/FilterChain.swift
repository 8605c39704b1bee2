import MeshCore
import MeshHTTP
import MeshModel

/// What a filter must know about a request beyond its head.
public struct RequestFacts: Sendable {
    /// It came over TLS.
    public let isTLS: Bool
    /// The port of the listener; 0 if it has none.
    public let port: UInt16
    /// Bytes of the path that the winning match's prefix covers (``ListenerTable/Verdict``).
    public let prefixLength: Int

    /// Facts as they are.
    public init(isTLS: Bool, port: UInt16, prefixLength: Int) {
        self.isTLS = isTLS
        self.port = port
        self.prefixLength = prefixLength
    }
}

/// A backend that gets copies of requests.
public struct Mirror: Sendable, Equatable {
    /// The index of the model's backends.
    public let backend: Int
    /// The share of requests: `numerator` of `denominator`.
    public let numerator: Int
    /// The whole; not 0.
    public let denominator: Int

    /// A mirror of these parts.
    public init(backend: Int, numerator: Int, denominator: Int) {
        self.backend = backend
        self.numerator = numerator
        self.denominator = denominator
    }
}

/// The filters of a rule or of a share, compiled once: all that they write is laid out before the first request.
///
/// Filters run in the order in which they were written. A chain writes nothing but the heads that it is given, into
/// their own arenas. References of mirrors that are not valid are left out, as the standard says. A class, so that a
/// request takes one reference, not one for each array.
public final class FilterChain: Sendable {
    /// What becomes of a request.
    public enum Verdict: Sendable, Equatable {
        /// It goes on.
        case next
        /// The proxy answers, for this reason: `answer` holds the status and all fields, `content-length: 0` too.
        case respond(Reason)
    }

    /// What is done, as plain values; the payload lies in the arrays below.
    private enum Step: Sendable {
        case requestHeaders(HeaderEdits.Run)
        case responseHeaders(HeaderEdits.Run)
        case redirect(Int)
        case rewrite(Int)
        case cors(Int)
    }

    private let steps: [Step]
    private let edits: HeaderEdits
    private let redirects: [RedirectPlan]
    private let rewrites: [RewritePlan]
    private let policies: [CORSPolicy]
    /// Who gets copies of the requests.
    public let mirrors: [Mirror]
    /// True if ``applyResponse(_:request:)`` has something to do.
    public let changesResponse: Bool
    /// True if there is nothing to do, and no mirror.
    public let isEmpty: Bool

    /// Compiles `filters` of a valid model; `index` finds a backend by its name. Header modifiers leave fields alone
    /// that are not theirs to change (``isProtected(_:)``).
    public init(_ filters: [Filter], backend index: (String) -> Int?) {
        var steps: [Step] = []
        var edits = HeaderEdits()
        var redirects: [RedirectPlan] = []
        var rewrites: [RewritePlan] = []
        var policies: [CORSPolicy] = []
        var mirrors: [Mirror] = []
        var changesResponse = false
        for filter in filters {
            switch filter {
            case .requestHeaderModifier(let modifier): steps.append(.requestHeaders(edits.add(modifier)))
            case .responseHeaderModifier(let modifier):
                steps.append(.responseHeaders(edits.add(modifier)))
                changesResponse = true
            case .requestRedirect(let redirect):
                steps.append(.redirect(redirects.count))
                redirects.append(RedirectPlan(redirect))
            case .urlRewrite(let rewrite):
                steps.append(.rewrite(rewrites.count))
                rewrites.append(RewritePlan(rewrite))
            case .requestMirror(let mirror):
                guard case .backend(let name) = mirror.target, let backend = index(name) else { continue }
                mirrors.append(
                    Mirror(backend: backend, numerator: mirror.numerator, denominator: mirror.denominator))
            case .cors(let cors):
                steps.append(.cors(policies.count))
                policies.append(CORSPolicy(cors))
                changesResponse = true
            }
        }
        self.steps = steps
        self.edits = edits
        self.redirects = redirects
        self.rewrites = rewrites
        self.policies = policies
        self.mirrors = mirrors
        self.changesResponse = changesResponse
        isEmpty = steps.isEmpty && mirrors.isEmpty
    }

    /// True for a field name that header modifiers may not touch: what belongs to one connection, what frames the
    /// message, and pseudo-headers. `host` may be set, which changes where the request says it goes, and nothing else.
    public static func isProtected(_ name: String) -> Bool { HeaderEdits.isProtected(name) }

    /// Changes `request`, or answers it in `answer`, which is emptied first.
    public func applyRequest(_ request: MessageHead, answer: MessageHead, facts: RequestFacts) -> Verdict {
        var index = 0
        while index < steps.count {
            switch steps[index] {
            case .requestHeaders(let run): edits.apply(run, to: request)
            case .redirect(let number):
                redirects[number].answer(request, in: answer, facts: facts)
                return .respond(.redirected)
            case .rewrite(let number): rewrites[number].apply(to: request, prefixLength: facts.prefixLength)
            case .cors(let number):
                if CORSPolicy.isPreflight(request) {
                    policies[number].answerPreflight(request, in: answer)
                    return .respond(.corsPreflight)
                }
            case .responseHeaders: break
            }
            index &+= 1
        }
        return .next
    }

    /// Changes the response to `request`, which must still have the fields that it came with.
    public func applyResponse(_ response: MessageHead, request: MessageHead) {
        guard changesResponse else { return }
        var index = 0
        while index < steps.count {
            switch steps[index] {
            case .responseHeaders(let run): edits.apply(run, to: response)
            case .cors(let number): policies[number].apply(to: response, request: request)
            case .requestHeaders, .redirect, .rewrite: break
            }
            index &+= 1
        }
    }
}
