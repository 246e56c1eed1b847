namespace Distributed.Fuzz;

/// <summary>Something was accepted and is not what the file says.</summary>
internal sealed class WrongResultException(string rule) : Exception(rule);
