/// The schemas of the API's values, in a short notation: a name, what it is, and its fields as `name type`, with `?`
/// for fields that may be missing, `[]` for arrays, `{}` for maps, `a/b` for the words of an enumeration. Tests hold the values'
/// own JSON against them.
enum Schemas {
    struct Schema: Sendable {
        var name: String
        var text: String
        var fields: [(name: String, type: String, isOptional: Bool)]
    }

    /// By name.
    static let all: [Schema] = source.split(separator: "\n").map { line in
        let parts = line.split(separator: "|", maxSplits: 2, omittingEmptySubsequences: false)
        let fields = parts[2].split(separator: ",").map { field in
            let words = field.split(separator: " ")
            let isOptional = words[0].hasSuffix("?")
            return (
                name: String(isOptional ? words[0].dropLast() : words[0]), type: String(words[1]),
                isOptional: isOptional
            )
        }
        return Schema(name: String(parts[0]), text: String(parts[1]), fields: fields)
    }

    private static let source = """
        ObjectID|What an object is known by; namespace is empty for kinds that have none.|kind string, namespace string, name string
        Object|A user's object; text only where one object is asked for, source is a file with its line, or api.|id ObjectID, apiVersion string, revision integer, source string, changed date, text? string
        File|A file of YAML documents.|name? string, text string
        Change|Objects to add or replace.|files File[], dryRun? boolean, author? string, message? string
        Deletion|Objects to remove.|objects ObjectID[], dryRun? boolean, author? string, message? string
        Rollback|A return to an earlier revision.|revision integer, dryRun? boolean, author? string, message? string
        ObjectEffect|What became of an object.|id ObjectID, effect created/changed/unchanged/deleted
        ChangeResult|What a change did, or would do.|isAccepted boolean, dryRun boolean, revision integer, objects ObjectEffect[], diagnostics Diagnosis[]
        Diagnosis|One problem with documents, and what to write instead.|severity error/warning, file string, line integer, column integer, field string, object string, message string, remedy string
        DiffRequest|Files that might be applied.|files File[]
        Diff|What applying files would do.|isValid boolean, objects ObjectDiff[], proxies ProxyDiff[], diagnostics Diagnosis[]
        ObjectDiff|What would become of an object: a unified diff of its YAML.|id ObjectID, effect created/changed/unchanged/deleted, text string
        ProxyDiff|What a proxy would receive, when it comes back if it is not connected.|id ProxyID, isConnected boolean, resources ResourceEffect[]
        ResourceEffect|What would become of a resource of a proxy.|type string, name string, effect created/changed/unchanged/deleted
        Revision|One accepted state of all objects.|number integer, time date, author string, message string, objects ObjectEffect[], isCurrent boolean
        ProxyID|What an instance is known by.|kind workload/gateway, namespace string, name string, instance string
        Proxy|An instance; desiredVersion and ackedVersion are equal where it runs what it should.|id ProxyID, address string, zone string, programVersion string, sync synced/pending/rejected/disconnected, readiness string, connectedSince? date, lastSeen? date, desiredVersion string, ackedVersion string, certificateExpires? date, certificateSerial string, warnings string[]
        ProxyDetail|An instance with its resources.|proxy Proxy, resources ProxyResource[]
        ProxyResource|How far a proxy is with one resource.|type string, name string, desiredVersion? string, ackedVersion? string, rejection? Rejection
        Rejection|A proxy's refusal of a version of a resource.|message string, version string, time date
        ObjectStatus|How an object is, and how far the proxies that need it are.|id ObjectID, source string, revision integer, parts StatusPart[], proxies Delivery[]
        StatusPart|Conditions of an object, or of a part of one.|part string, conditions Condition[]
        Condition|One condition, as Gateway API names them.|type string, status boolean, reason string, message string
        Delivery|How far a proxy is with the resources of an object.|proxy ProxyID, sync synced/pending/rejected/disconnected, desiredVersion string, ackedVersion string, rejection? Rejection, since date
        CompiledModel|The compiled model of a proxy, without secrets, and where its settings were written.|model base64, origins Origin{}
        Origin|Where something was written.|file string, line integer
        Traffic|What passed between services in so many seconds.|seconds number, durationBounds integer[], hops Hop[]
        Hop|Requests from one service to another, as one side counted them; durationBuckets by the durationBounds of Traffic, in microseconds.|direction inbound/outbound, source string, destination string, version string, route string, mtls boolean, requests integer, failures integer, counts HopCount[], durationBuckets integer[]
        HopCount|Requests that ended in one way; grpcStatus -1: not gRPC.|status integer, grpcStatus integer, reason string, count integer
        TokenRequest|A wish for a token.|role string, lifetimeSeconds? integer, uses? integer, author? string
        Token|A token, without its secret.|id string, role string, created date, expires date, usesLeft integer, uses integer, isRevoked boolean, author string
        NewToken|A token with its secret, which is given away this once.|token Token, secret string
        TrustBundle|Whom the mesh believes.|trustDomain string, pem string, roots Authority[]
        Authority|A certificate of an authority.|subject string, fingerprint string, notBefore date, notAfter date, isSigning boolean
        RootRotation|How far the replacement of the root is.|phase none/begun/activated, roots Authority[], waitingFor ProxyID[], next? begin/activate/finish, safeAfter? date
        RotationRequest|A step of the replacement of the root.|step begin/activate/finish
        Revocation|Certificates that shall be useless: those of an instance, or one by its serial number.|proxy? ProxyID, serial? string, reason? string, author? string
        RevocationResult|Serial numbers of certificates that would still have held.|serials string[]
        Health|How the control plane is.|isReady boolean, checks Check[], programVersion string, trustDomain string, revision integer, started date, connectedProxies integer
        Check|One thing that the control plane needs.|name string, isGood boolean, message string
        Problem|Why something was not done (RFC 9457).|type string, title string, status integer, detail string, remedy string, diagnostics? Diagnosis[]
        """
}
