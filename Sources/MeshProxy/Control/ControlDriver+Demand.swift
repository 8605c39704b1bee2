import MeshCore
import MeshDiscovery
import MeshModel

/// Services that the Workload does not declare, and that the application calls all the same.
extension ControlDriver {
    /// Services that are asked for by name at once, those included that are not there.
    private static var mostWanted: Int { 256 }
    /// Questions of loops that wait for an answer at once.
    private static var mostPending: Int { 1024 }
    /// A service's routes follow the service: 5 ms let them come along.
    private static var settling: UInt64 { 5_000_000 }

    /// A loop that waits for word of a host.
    struct ServiceQuestion {
        let host: [UInt8]
        let loop: WorkerReference
    }

    /// The application has called `host` through `loop`, which knows nobody of that name and waits for an answer.
    func wantService(_ host: [UInt8], from loop: WorkerReference) {
        let question = ServiceQuestion(host: host, loop: loop)
        let home = String(options.role.name.prefix { $0 != "/" })
        guard options.role.type == .workload,
            let name = ServiceHost.service(of: String(decoding: host, as: UTF8.self), home: home),
            // It is not there under this host, or was published just now.
            discovery.resources[.service, name] == nil
        else { return answer(question, .known) }
        guard let call = discoveryCall, questions.count < Self.mostPending else {
            return answer(question, .unavailable)
        }
        // The control plane says by itself when that changes.
        if discovery.missingServices.contains(name) { return answer(question, .known) }
        if !discovery.requestedServices.contains(name) {
            guard makeRoom(call) else { return answer(question, .unavailable) }
            if let request = discovery.subscribe(service: name) { call.send(ControlMessages.discovery(request)) }
        }
        questions.append((name, question))
    }

    /// Asks no more for a service that is not there, if too many are asked for. False if all of them are there.
    private func makeRoom(_ call: ControlCall) -> Bool {
        if discovery.requestedServices.count < Self.mostWanted { return true }
        guard let given = discovery.missingServices.first else { return false }
        if let request = discovery.unsubscribe(service: given) { call.send(ControlMessages.discovery(request)) }
        return true
    }

    /// Resources were accepted: answers what can be answered now.
    func answerQuestions() {
        if questions.isEmpty { return }
        var hasFound = false
        questions.removeAll { name, question in
            if discovery.resources[.service, name] != nil { hasFound = true }
            guard discovery.missingServices.contains(name) else { return false }
            answer(question, .known)
            return true
        }
        if hasFound { schedule(demandTimer, after: Self.settling) }
    }

    /// What was found has settled.
    func answerFound() {
        questions.removeAll { name, question in
            guard discovery.resources[.service, name] != nil else { return false }
            answer(question, .known)
            return true
        }
    }

    /// The control plane cannot be asked any more.
    func giveUpQuestions() {
        for (_, question) in questions { answer(question, .unavailable) }
        questions = []
    }

    private func answer(_ question: ServiceQuestion, _ answer: DemandAnswer) {
        let host = question.host
        question.loop.post { $0.serviceWaits.settle(host, answer) }
    }
}
