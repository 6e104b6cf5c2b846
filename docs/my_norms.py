from lwft_bench import Adapter, PluginOptions, register_adapter


@register_adapter("my-norms")
class MyNorms(Adapter):
    """The norms' weights alone, trained directly (arXiv 2312.11420)."""

    class Options(PluginOptions):
        pattern: str = "norm"
        """What the names of the parameters to train contain."""

    options: Options

    def apply(self, model, seed):
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(self.trains(name))
        return model

    def trains(self, name):
        return self.options.pattern in name

    def tensors(self, model):
        return [(name, p) for name, p in model.named_parameters() if self.trains(name)]

    def save(self, model, tokenizer, folder):
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
