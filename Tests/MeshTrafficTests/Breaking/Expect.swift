import Testing

/// `#expect` for what changes the value that it asks, which the macro does not take.
func expect(_ value: Bool, _ comment: Comment? = nil, sourceLocation: SourceLocation = #_sourceLocation) {
    #expect(value, comment, sourceLocation: sourceLocation)
}
