import MeshHTTP
import MeshModel
import MeshTraffic

/// Fields by which strangers steer retries, deadlines and placement: an HTTP/1.1 request head from a client, whose fields
/// are read as an endpoint's answer too.
enum PolicyFieldsTarget {
    private static let hash = RequestHash([
        .cookie(name: "affinity", path: "/", timeToLive: nil), .queryParam(name: "user"), .header(name: "x-user"),
        .sourceIP,
    ])
    private static let sessions = [
        SessionRule(SessionPersistence(kind: .cookie(name: "session", path: "/", permanent: false))),
        SessionRule(SessionPersistence(kind: .header(name: "x-session"), absoluteTimeout: .seconds(60))),
    ]
    private static let key = SipKey(naming: "fuzz")

    static func run(_ input: [UInt8]) throws(Finding) {
        let head = MessageHead()
        guard case .complete = HTTP1Parser.parseRequest(input.span, into: head, limits: HTTP1Limits()) else { return }
        if let timeout = CallerTimeout.grpc(of: head) { try requireNoMoreWhenWritten(timeout) }
        if let timeout = CallerTimeout.milliseconds(of: head) { try requireNoMoreWhenWritten(timeout) }
        _ = Pushback(head, wallTime: 1_700_000_000_000_000_000)
        let placement = hash?.placement(of: head, client: 1)
        try require(placement == hash?.placement(of: head, client: 1), "the same request goes elsewhere")
        for rule in sessions {
            guard let token = rule.token(in: head) else { continue }
            let endpoint = rule.endpoint(head.span(token), key: key, now: 1_700_000_000)
            try require(endpoint == nil, "a token that was guessed is believed")
        }
        for identity in [0, UInt64(input.count), .max] { try requireBelieved(identity) }
    }

    /// No hop may get more time than there is.
    private static func requireNoMoreWhenWritten(_ timeout: UInt64) throws(Finding) {
        let head = MessageHead()
        CallerTimeout.writeGRPC(timeout, to: head)
        guard let read = CallerTimeout.grpc(of: head) else {
            throw Finding(description: "what was written is no timeout")
        }
        try require(read <= timeout, "a timeout grew on its way")
    }

    private static func requireBelieved(_ identity: UInt64) throws(Finding) {
        let head = MessageHead()
        sessions[1].begin(identity, key: key, now: 1_700_000_000, in: head, isSecure: true)
        guard let token = sessions[1].token(in: head) else { throw Finding(description: "no token was written") }
        let found = sessions[1].endpoint(head.span(token), key: key, now: 1_700_000_030)
        try require(found == identity, "a token leads elsewhere")
    }
}
