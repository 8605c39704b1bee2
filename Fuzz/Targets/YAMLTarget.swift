import MeshCore
import MeshGatewayAPI
import MeshModel

/// Documents → model: whatever the text, there is a model or an error, and the model can be compiled.
enum YAMLTarget {
    static func run(_ input: [UInt8]) throws(Finding) {
        let text = String(decoding: input, as: UTF8.self)
        // Files of this machine are not part of the input.
        guard !text.contains("file:") else { return }
        let translation = translate(text)
        try require((translation.model == nil) == translation.hasErrors, "no model and no error, or both")
        let lines = text.utf8.reduce(1) { $1 == 0x0A || $1 == 0x0D ? $0 + 1 : $0 } + text.utf8.count
        for diagnostic in translation.diagnostics {
            try require(!diagnostic.message.isEmpty, "an empty message")
            try require(diagnostic.place.line >= 1 && diagnostic.place.line <= lines, "a line that is not there")
            try require(diagnostic.place.column >= 1, "column \(diagnostic.place.column)")
        }
        try require(translate(text).model == translation.model, "two translations differ")
        guard let model = translation.model else { return }
        let decoded: Model
        do {
            try model.validate()
            decoded = try Model.decode(try model.encode())
        } catch {
            throw Finding(description: "the model is not one: \(error)")
        }
        try require(decoded == model, "the compiled form is another model")
    }

    private static func translate(_ text: String) -> Translation {
        Translator.translate([SourceFile(path: "a.yaml", text: text)], base: "/nonexistent")
    }
}
