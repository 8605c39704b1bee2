import MeshCore
import MeshModel
import MeshNet
import MeshTLS

/// The identity: where it comes from, and how it stays valid.
extension ControlDriver {
    private static var callTime: UInt64 { 10_000_000_000 }

    /// The saved identity. Throws if there is none and no token either.
    func loadIdentity() throws(ProxyError) {
        var problems: [String] = []
        if let held = state.identity(&problems) {
            guard held.instance == state.instance else {
                throw ProxyError(
                    "\(state.path): the identity is that of instance \(held.instance), not of \(state.instance); "
                        + "give another --state")
            }
            take(held)
        }
        for problem in problems { say(problem) }
        let count = UInt64(problems.count)
        status.update { $0.facts.damagedFiles += count }
        if identity == nil, try token() == nil {
            throw ProxyError("\(state.path): there is no identity, and no token to get one with; \(tokenAdvice)")
        }
    }

    private var tokenAdvice: String {
        let flag = options.role.type == .workload ? "--workload" : "--gateway"
        return "make a token where the control plane runs (martlet token create \(flag) \(options.role.name)), "
            + "and give it by --token-file FILE or MARTLET_TOKEN"
    }

    private func token() throws(ProxyError) -> JoinToken? {
        let (text, source): (String, String)
        switch options.token {
        case .none: return nil
        case .text(let given): (text, source) = (given, "MARTLET_TOKEN")
        case .file(let path):
            text = String(decoding: try FileContents.read(path, limit: 4096), as: UTF8.self)
            source = path
        }
        guard let token = JoinToken(text) else {
            throw ProxyError("\(source): that is no token; one looks like mt1.ID.SECRET.ROOTHASH")
        }
        return token
    }

    /// Whether to join or to serve; nil if neither is possible, which has been said.
    func nextErrand() -> Errand? {
        let now = Clock.wall()
        if identity != nil, let renewal, !renewal.isExpired(now: now) { return .serve }
        do throws(ProxyError) {
            if let token = try token(), token.text != refusedToken { return .join(token) }
            sayExpired()
        } catch {
            sayOnce(error.description)
        }
        return nil
    }

    private func sayExpired() {
        let what =
            identity.map { "the identity ended at \(WallTime.text($0.facts.notAfter))" } ?? "there is no identity"
        let problem = "\(what); \(tokenAdvice)"
        status.update { $0.problem = problem }
        sayOnce("\(problem)\(served == nil ? "" : "; until then others refuse mutual TLS with this instance")")
    }

    // MARK: Join

    func join(_ token: JoinToken, on connection: ControlConnection, trustDomain: String) {
        do throws(ProxyError) {
            let key = try KeyPair()
            // The control plane decides who this is; only the public key of the request counts.
            let name = options.role.name.split(separator: "/").map(String.init)
            let uri = SPIFFEID(trustDomain: trustDomain, namespace: name[0], service: name[1]).description
            let request = try key.signingRequest(commonName: state.instance, uri: uri)
            pendingKey = key
            guard let call = connection.call(.join) else { return connection.end("the server takes no call") }
            call.send(
                ControlMessages.join(
                    token: token, role: options.role.description, instance: state.instance, request: request))
            call.finishSending()
            identityCall = call
            schedule(callTimer, after: Self.callTime)
        } catch {
            connection.end(error.description)
        }
    }

    func joinEnded(_ end: CallEnd) {
        guard case .join(let token) = errand else { return }
        status.update { $0.facts.joins.failed += 1 }
        let isFinal = [
            CallEnd.unauthenticated, CallEnd.permissionDenied, CallEnd.invalidArgument, CallEnd.failedPrecondition,
            CallEnd.alreadyExists,
        ].contains(end.code)
        let text = "the control plane refuses token \(token.id) for \(options.role): \(end.description)"
        if isFinal {
            refusedToken = token.text
            if served == nil { notify(.refused(text)) } else { sayOnce(text) }
        }
        connection?.end(text)
    }

    // MARK: Sign

    func scheduleRenewal() {
        guard let renewal else { return }
        let now = Clock.wall()
        let next = isExpirySaid || now < renewal.due ? renewal.due : min(renewal.end, renewal.due)
        schedule(renewalTimer, after: next > now ? next - now : 1_000_000)
    }

    func renewalIsDue() {
        guard let renewal else { return }
        let now = Clock.wall()
        if renewal.isExpired(now: now) {
            if !isExpirySaid {
                isExpirySaid = true
                say(
                    "the certificate of instance \(state.instance) has expired: others refuse it from now on. Once the "
                        + "control plane is back, a new token is needed: martlet token create")
                reconnect("the identity has ended")
            }
            return
        }
        guard now >= renewal.due else { return scheduleRenewal() }
        // Without a connection: at the next one, and at the end it is said.
        guard let connection, status.facts.isConnected else {
            return schedule(renewalTimer, after: renewal.end - now + 1_000_000)
        }
        if identityCall == nil { sign(on: connection) }
    }

    private func sign(on connection: ControlConnection) {
        guard let identity else { return }
        do throws(ProxyError) {
            let key = try KeyPair()
            let request = try key.signingRequest(commonName: state.instance, uri: identity.name.description)
            guard let call = connection.call(.sign) else { throw ProxyError("the server takes no call") }
            pendingKey = key
            call.send(ControlMessages.sign(request: request))
            call.finishSending()
            identityCall = call
            schedule(callTimer, after: Self.callTime)
        } catch {
            renewalFailed(error.description)
        }
    }

    func signEnded(_ end: CallEnd) {
        guard identityCall != nil else { return }
        identityCall = nil
        cancel(callTimer)
        renewalFailed(end.code == CallEnd.ok ? "an answer without a certificate" : end.description)
    }

    /// The connection ended with a call on it.
    func signInterrupted(_ reason: String) {
        guard pendingKey != nil, case .serve = errand else { return }
        renewalFailed(reason)
    }

    private func renewalFailed(_ reason: String) {
        pendingKey = nil
        status.update { $0.facts.renewals.failed += 1 }
        renewal?.failed(now: Clock.wall(), random: &random)
        let end = WallTime.text(identity?.facts.notAfter ?? 0)
        say("the identity could not be renewed: \(reason); trying again, it ends at \(end)")
        scheduleRenewal()
    }

    // MARK: Both

    func identityAnswered(_ messages: [[UInt8]], _ call: ControlCall) {
        guard let key = pendingKey, let message = messages.first else { return }
        pendingKey = nil
        identityCall = nil
        cancel(callTimer)
        let isJoin = call.method == .join
        do throws(ProxyError) {
            let held = try ControlMessages.identity(message, key: key.privatePEM)
            guard held.instance == state.instance else {
                throw ProxyError("the certificate is for instance \(held.instance)")
            }
            adopt(held, isJoin: isJoin)
        } catch {
            if isJoin {
                status.update { $0.facts.joins.failed += 1 }
                connection?.end(error.description)
            } else {
                renewalFailed(error.description)
            }
        }
    }

    private func adopt(_ held: HeldIdentity, isJoin: Bool) {
        take(held)
        status.update { if isJoin { $0.facts.joins.succeeded += 1 } else { $0.facts.renewals.succeeded += 1 } }
        do throws(ProxyError) {
            try state.save(held)
        } catch {
            status.update { $0.facts.failedSaves += 1 }
            say("the identity is not saved, and will be lost at a restart: \(error)")
        }
        let now = Clock.wall() / 1_000_000_000
        if now >= UInt64(max(0, held.facts.notAfter)) || now + 60 < UInt64(max(0, held.facts.notBefore)) {
            say(
                "the new certificate is valid from \(WallTime.text(held.facts.notBefore)) to "
                    + "\(WallTime.text(held.facts.notAfter)): this machine's clock or the control plane's is wrong")
        }
        let verb = isJoin ? "joined as" : "renewed the identity"
        say("\(verb) \(held.name), instance \(state.instance), until \(WallTime.text(held.facts.notAfter))")
        isExpirySaid = false
        scheduleRenewal()
        republish()
        guard isJoin else { return }
        notify(.joined("joined as \(held.name), instance \(state.instance)"))
        if !options.joinsOnly { reconnect("joined") }
    }

    private func take(_ held: HeldIdentity) {
        identity = held
        let schedule = RenewalSchedule(
            notBefore: held.facts.notBefore, notAfter: held.facts.notAfter, random: &random)
        renewal = schedule
        status.update {
            $0.identity = held
            $0.renewal = schedule.due
            $0.facts.identityExpiry = Int(held.facts.notAfter)
        }
    }

    /// Believes the roots of `bundle` from here on. If our own is not among them any more, nobody else will believe us
    /// for long.
    func adopt(bundle: [UInt8]) {
        guard var held = identity, held.bundle != bundle else { return }
        held.bundle = bundle
        identity = held
        status.update { $0.identity = held }
        do throws(ProxyError) {
            try state.saveBundle(bundle)
            let certificate = TLSCertificate(chainPEM: held.chain, keyPEM: held.key, label: "identity")
            if try !certificate.isIssued(underFirstOf: bundle) {
                say("certificates are signed under another root now: renewing at once")
                renewal?.hurry(now: Clock.wall())
                renewalIsDue()
            }
        } catch {
            say("trust bundle: \(error)")
        }
    }
}
