struct TriedEndpoints { init(_ index: Int) {} }
extension BackendPool {
    func pick(for exchange: Exchange, avoiding tried: TriedEndpoints) -> Result<EndpointPool, ReasonError> { pick() }
}
