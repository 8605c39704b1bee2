import Foundation

/// Diagnostics and conditions as JSON for programs: the form of `martlet validate --output json`.
extension Translation {
    /// `{"valid": …, "diagnostics": […], "conditions": […]}`, with sorted keys.
    public func json() -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        let report = ReportJSON(
            valid: !hasErrors, diagnostics: diagnostics.map { DiagnosticJSON($0) },
            conditions: conditions.map { StatusJSON($0) })
        guard let data = try? encoder.encode(report) else { return "{}" }
        return String(decoding: data, as: UTF8.self)
    }
}

private struct ReportJSON: Encodable {
    var valid: Bool
    var diagnostics: [DiagnosticJSON]
    var conditions: [StatusJSON]
}

private struct DiagnosticJSON: Encodable {
    var severity: String
    var file: String
    var line: Int
    var column: Int
    var fieldPath: String
    var object: String
    var message: String
    var remedy: String

    init(_ diagnostic: Diagnostic) {
        severity = diagnostic.severity.rawValue
        file = diagnostic.place.file
        line = diagnostic.place.line
        column = diagnostic.place.column
        fieldPath = diagnostic.place.fieldPath
        object = diagnostic.place.object
        message = diagnostic.message
        remedy = diagnostic.remedy
    }
}

private struct StatusJSON: Encodable {
    struct ConditionJSON: Encodable {
        var type: String
        var status: String
        var reason: String
        var message: String
    }

    var object: String
    var part: String
    var file: String
    var line: Int
    var conditions: [ConditionJSON]

    init(_ status: ObjectStatus) {
        object = status.object
        part = status.part
        file = status.place.file
        line = status.place.line
        conditions = status.conditions.map {
            ConditionJSON(type: $0.type, status: $0.status ? "True" : "False", reason: $0.reason, message: $0.message)
        }
    }
}
