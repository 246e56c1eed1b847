namespace Distributed.Engine.Checkpoints;

/// <summary>Whose model a checkpoint is.</summary>
public enum ModelFamily
{
    /// <summary>Meta's, and models of its architecture.</summary>
    Llama,

    /// <summary>MistralForCausalLM.</summary>
    Mistral,

    /// <summary>Qwen2ForCausalLM.</summary>
    Qwen2,

    /// <summary>Qwen3ForCausalLM.</summary>
    Qwen3,
}
