import MeshCore
import MeshHTTP
import MeshModel

/// The faults of one policy, compiled.
public struct FaultPlan: Sendable {
    /// What is to be done to a request.
    public struct Injection: Sendable, Equatable {
        /// Nanoseconds to wait first; 0: none.
        public var delay: UInt64
        /// Then the answer; nil: go on.
        public var abort: Fault.Abort?
    }

    private struct Part: Sendable {
        let share: UInt64
        let whole: UInt64
        let firstCondition: Int
        let conditionCount: Int
        let injection: Injection
    }

    private let parts: [Part]
    private let table: ConditionTable

    /// Compiles `faults` of the rule or backend called `name`. Throws for a regular expression that is not valid.
    public init(_ faults: [Fault], name: String) throws(ProxyError) {
        var table = ConditionTable()
        var parts: [Part] = []
        for fault in faults {
            let first = table.conditions.count
            try table.add(RouteMatch(headers: fault.headers), rule: name)
            parts.append(
                Part(
                    share: UInt64(max(fault.numerator, 0)), whole: UInt64(max(fault.denominator, 1)),
                    firstCondition: first, conditionCount: table.conditions.count - first,
                    injection: Injection(delay: fault.delay?.nanoseconds ?? 0, abort: fault.abort)))
        }
        self.parts = parts
        self.table = table
    }

    /// What is to be done to the request: of the faults whose header fields it has, each in turn gets its chance.
    public func choose(_ head: MessageHead, random: inout Random) -> Injection? {
        var index = 0
        while index < parts.count {
            let part = parts[index]
            index &+= 1
            guard random.next().multipliedFullWidth(by: part.whole).high < part.share else { continue }
            if part.conditionCount > 0 {
                let failure = table.firstFailure(part.firstCondition, part.conditionCount, head, Subject(head))
                if failure >= 0 { continue }
            }
            return part.injection
        }
        return nil
    }
}
